"""Between MRML nodes and the library; the only room that knows Slicer.

``volumes``: volume and segmentation nodes to and from images. ``grid_transforms``: displacement fields and
affine matrices to and from transform nodes. ``registration``: the inputs of a registration from nodes, its
result to nodes; what lies between, ``pipeline.register``, touches no node and may run in another process.
Slicer and vtk are imported inside the functions, and nodes are touched in the main thread only.
"""
