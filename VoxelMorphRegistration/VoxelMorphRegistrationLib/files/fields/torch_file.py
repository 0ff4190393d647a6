"""Tensors in a PyTorch file by their keys; how such a file is read safely is `torch_file`'s business."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.torch_file import load_torch

_ADVICE = "save the tensor alone with torch.save(tensor.cpu(), name), or with numpy.save(name, tensor.cpu().numpy())"


def read_torch(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The tensors of a ``.pt``/``.pth`` file by their keys (a single tensor: "tensor"; inner ones: "outer.inner").

    Raises FileError for a pickle that names anything but tensors, and for PyTorch's format before version 1.6.
    """
    found: dict[str, npt.NDArray[Any]] = {}
    _collect(load_torch(path, advice=_ADVICE), "", found)
    if not found:
        raise InputError(f"{path.name} holds no tensor; save the displacement field itself with torch.save.")
    return found


def _collect(value: Any, key: str, found: dict[str, npt.NDArray[Any]]) -> None:
    if isinstance(value, np.ndarray):
        found[key or "tensor"] = value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            _collect(inner, f"{key}.{name}" if key else str(name), found)
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            _collect(inner, f"{key}.{number}" if key else str(number), found)
