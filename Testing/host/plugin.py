"""The fixtures of the host, taken over by `Testing/conftest.py`.

Nothing here imports slicer or PySide6 before a test asks for it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from host.swallowed import SwallowedExceptions


@pytest.fixture(autouse=True)
def swallowed() -> Iterator[SwallowedExceptions]:
    """Fails the test on an exception that Qt, VTK or a thread swallowed, unless it was expected."""
    exceptions = SwallowedExceptions()
    exceptions.install()
    try:
        yield exceptions
    finally:
        exceptions.uninstall()
    if exceptions.caught:
        pytest.fail(f"{len(exceptions.caught)} exception(s) were swallowed:\n{exceptions.report()}", pytrace=False)


@pytest.fixture
def scene(swallowed: SwallowedExceptions) -> Iterator[Any]:
    """A fresh, empty `slicer.mrmlScene` with its module logics; works without Qt."""
    pytest.importorskip("slicer", reason="needs slicer-core (pip install slicer-core)")
    from host import scene as scenes

    environment = scenes.new_scene()
    yield environment.scene
    scenes.close_scene()


class Host:
    """A running stand-in of Slicer: what a test needs to act on it, in one place."""

    def __init__(self) -> None:
        import slicer

        from host import dialogs, user

        self.slicer: Any = slicer
        self.app: Any = slicer.app
        self.dialogs = dialogs.dialogs
        self.user: ModuleType = user

    @property
    def scene(self) -> Any:
        return self.slicer.mrmlScene

    def load_module(self, path: Path | str) -> Any:
        import host

        return host.load_module(path)

    def show(self, module: Any) -> Any:
        import host

        return host.show(module)

    def reload(self, module: Any) -> Any:
        import host

        return host.reload(module)

    def quit(self) -> None:
        from host import application

        application.quit_application()


@pytest.fixture
def host(swallowed: SwallowedExceptions) -> Iterator[Host]:
    """A running application with a fresh scene, no modules, and empty settings.

    Fails the test on a dialog that it did not announce with `host.dialogs.expect`, and on one announced that
    did not come up.
    """
    pytest.importorskip("slicer", reason="needs slicer-core (pip install slicer-core)")
    pytest.importorskip("PySide6", reason="needs PySide6 (pip install PySide6-Essentials)")
    import host as package
    from host import application, scene

    app = package.start()
    app.settings().clear()
    running = Host()
    running.dialogs.reset()
    try:
        yield running
    finally:
        application.close_modules()
        app._is_testing = False
        scene.close_scene()
        app.processEvents()
        gc.collect()  # an exception in a `__del__` belongs to this test, not to the next
        while app.overrideCursor():
            app.restoreOverrideCursor()
    problems = running.dialogs.problems()
    running.dialogs.reset()
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)
