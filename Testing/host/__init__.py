"""Runs the module without Slicer: slicer-core's real MRML, with PySide6 in place of Slicer's Qt layer.

`host.scene` and `host.slice_views` need slicer-core only. Everything else stands in for Slicer's C++ widgets
and application and is a test double; each file says what it does not imitate.
"""
