"""Inference engines behind one protocol. Adding one: a module like these, and its line in ``_ENGINES``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.errors import EngineError
from VoxelMorphRegistrationLib.network.engines import openvino_engine, tensorflow_engine
from VoxelMorphRegistrationLib.network.engines.protocol import Engine, Prediction
from VoxelMorphRegistrationLib.network.weights import verify

__all__ = ["Engine", "Prediction", "available_engines", "load_engine"]

# Fastest first: the order in which "auto" tries them. The packages behind them are imported on load only.
_ENGINES: dict[str, Any] = {module.NAME: module for module in (openvino_engine, tensorflow_engine)}


def available_engines() -> dict[str, str]:
    """The installed engines, fastest first, with their versions. Imports none of them."""
    versions = {name: module.installed_version() for name, module in _ENGINES.items()}
    return {name: version for name, version in versions.items() if version is not None}


def load_engine(
    name: str,
    weights_path: Path,
    *,
    sha256: str | None = None,
    shape: tuple[int, int, int] | None = None,
    threads: int | None = None,
) -> Engine:
    """Load a model file into an engine.

    ``name`` is one of available_engines() or "auto": the fastest that is installed and works. The file is
    checked against ``sha256`` where given. ``shape`` makes the engine ready for an input of that shape;
    ``threads`` limits it to so many processor cores (all of them by default).

    Raises EngineError for an engine that is unknown, not installed or does not work, ModelError for a bad
    file.
    """
    if name != "auto" and name not in _ENGINES:
        raise EngineError(f'There is no engine "{name}"; choose one of: auto, {", ".join(_ENGINES)}.')
    available = available_engines()
    if name != "auto" and name not in available:
        raise EngineError(f"The {name} engine is not installed; {_ENGINES[name].HOW_TO_INSTALL}.")
    if not available:
        ways = "; or ".join(module.HOW_TO_INSTALL for module in _ENGINES.values())
        raise EngineError(f"No inference engine is installed; {ways}.")
    if sha256 is not None and weights_path.is_file():
        verify(weights_path, sha256)

    *others, last = list(available) if name == "auto" else [name]
    for candidate in others:
        with suppress(EngineError):  # installed but broken here: the next one may work
            return _load(candidate, weights_path, shape, threads)
    return _load(last, weights_path, shape, threads)


def _load(name: str, weights_path: Path, shape: tuple[int, int, int] | None, threads: int | None) -> Engine:
    engine: Engine = _ENGINES[name].load(weights_path, shape, threads)
    return engine
