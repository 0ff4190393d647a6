"""The panel in the test host, with small volumes and a small network, and a look at what is left afterwards."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The folder of models; holds the small network."""
    from module.support import add_small_model

    for name in [name for name in os.environ if name.startswith("VOXELMORPH_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("VOXELMORPH_REGISTRATION_CACHE", str(folder))
    monkeypatch.setenv("VOXELMORPH_REGISTRATION_PACKAGES", str(tmp_path / "packages"))
    add_small_model(folder)
    return folder


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """The folder in which temporary files are made, by this process and by those that it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def library() -> Iterator[None]:
    """The library's modules as they were, afterwards: reloading the module reads them anew."""

    def ours() -> dict[str, Any]:
        return {n: m for n, m in sys.modules.items() if n.split(".")[0] == "VoxelMorphRegistrationLib"}

    before = ours()
    yield
    for name in ours():
        del sys.modules[name]
    sys.modules.update(before)


@pytest.fixture
def panel(host, cache, temporary, library) -> Iterator[Any]:
    """The module's panel, shown, with the small network chosen. Afterwards nothing may be left of what it did."""
    pytest.importorskip("openvino", reason="needs an engine (pip install openvino)")
    from child_processes import children
    from host import user
    from module.support import MODULE, SMALL_MODEL, Panel, our_threads

    panel = Panel(host, host.show(host.load_module(MODULE)))
    panel.parameters.model = SMALL_MODEL
    try:
        yield panel
    finally:
        panel.widget.cleanup()
        user.wait_until(lambda: not children() and not our_threads(), 60, "the end of processes and threads")
    assert [path.name for path in temporary.iterdir()] == []
    assert [path.name for path in cache.iterdir() if path.suffix in (".part", ".lock")] == []
