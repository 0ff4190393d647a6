"""The fixtures of the host, taken over by `Testing/conftest.py`.

Nothing here imports slicer or PySide6 before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
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
        pytest.fail(
            f"{len(exceptions.caught)} exception(s) were swallowed:\n{exceptions.report()}", pytrace=False
        )


@pytest.fixture
def scene(swallowed: SwallowedExceptions) -> Iterator[Any]:
    """A fresh, empty `slicer.mrmlScene` with its module logics; works without Qt."""
    pytest.importorskip("slicer", reason="needs slicer-core (pip install slicer-core)")
    from host import scene as scenes

    environment = scenes.new_scene()
    yield environment.scene
    scenes.close_scene()
