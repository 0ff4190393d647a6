"""Runs the module without Slicer: slicer-core's real MRML, with PySide6 in place of Slicer's Qt layer.

`host.scene` and `host.slice_views` need slicer-core only. Everything else stands in for Slicer's C++ widgets
and application and is a test double; each file says what it does not imitate. In a test, take the fixture
`scene` or `host`; in a script:

    import host

    host.start()
    module = host.load_module("VoxelMorphRegistration/VoxelMorphRegistration.py")
    widget = host.show(module)
    host.grab(widget.parent, "panel.png")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def start() -> Any:
    """Makes `slicer.app`, a fresh `slicer.mrmlScene` and the modules `qt` and `ctk`; returns `slicer.app`."""
    from host import application

    app = application.start()
    application.new_scene()
    return app


def load_module(path: Path | str) -> Any:
    """Loads a scripted module's file and returns its `slicer.modules.<name>`; no panel is made yet."""
    from host import scripted_module

    return scripted_module.load(path)


def show(module: Any) -> Any:
    """Selects the module, as a user does in the module menu, and returns its Python widget."""
    import slicer.util

    slicer.util.selectModule(module.name)
    return slicer.util.getModuleWidget(module.name)


def reload(module: Any) -> Any:
    """Does what the panel's Reload button does and returns the new Python widget."""
    import slicer.util

    slicer.util.getModuleWidget(module.name).onReload()
    slicer.app.processEvents()  # Qt shows the new widgets of a visible panel then
    return slicer.util.getModuleWidget(module.name)


def grab(widget: Any, png: Path | str) -> Path:
    """Writes what a widget shows to a PNG file."""
    from host import user

    return user.grab(widget, png)
