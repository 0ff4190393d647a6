"""VoxelMorph registration, from two volumes to a displacement field in physical space.

Rooms, each of which may use only those below it (``make lint`` checks it):

- ``slicer_bridge``: MRML nodes to and from library objects; the only room that knows Slicer.
- ``pipeline``: ``register()`` and the command line.
- ``network``: model cards, weights, intensities, engines. ``files``: volumes and transforms on disk.
- ``spatial``: grids, images and displacement fields.

One convention inside: arrays are indexed ``[i, j, k]``, positions and displacements are RAS mm, and a
displacement field says where in the moving image to sample: ``moved(x) = moving(x + u(x))``.
"""

__version__ = "0.1.0"
