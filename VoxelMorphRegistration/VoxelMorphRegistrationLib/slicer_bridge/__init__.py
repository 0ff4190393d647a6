"""slicer_bridge."""
