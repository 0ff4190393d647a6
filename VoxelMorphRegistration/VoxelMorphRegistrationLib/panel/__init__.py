"""The module's panel: what its buttons and lists do. Knows Slicer and Qt; computes nothing itself.

``registration_panel`` is the table of contents; a section of the panel is a file of this folder.
"""
