"""Volumes, labelmaps and transforms on disk, in every format users bring.

``read_volume``/``read_labels``/``write_volume``/``write_labels``, ``read_field``/``write_field`` and
``read_affine``/``write_affine``. To add a format, write its reader or writer and list it in the table at the
end of `volumes` or `transforms`.
"""
