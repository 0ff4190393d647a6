"""VoxelMorph registration, from two volumes to a displacement field in physical space.

Rooms, each of which may use only those below it (``make lint`` checks it):

- ``panel``: what the module's buttons and lists do. ``slicer_bridge``: MRML nodes to and from library objects.
  No other room knows Slicer.
- ``pipeline``: ``register()``, alone or in a background process, and the command line.
- ``network``: model cards, weights, intensities, engines and their packages. ``files``: volumes and transforms on disk.
- ``spatial``: grids, images and displacement fields.

One convention inside: arrays are indexed ``[i, j, k]``, positions and displacements are RAS mm, and a
displacement field says where in the moving image to sample: ``moved(x) = moving(x + u(x))``.
"""

__version__ = "0.1.0"
