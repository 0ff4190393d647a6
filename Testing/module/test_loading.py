"""What loading the module and opening its panel costs: no heavy import, nothing run, installed or written."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from module.support import MODULE

HEAVY = ("openvino", "tensorflow", "voxelmorph", "neurite", "keras", "tf_keras", "h5py", "nibabel", "scipy", "torch")
ALLOWED = {"slicer", "vtk", "numpy", "SimpleITK", "qt", "ctk", "VoxelMorphRegistrationLib"}

STEPS = """
import json, os, sys, tempfile
sys.path[:0] = ["Testing", "VoxelMorphRegistration"]
import host
host.start()
import psutil, slicer
found = {}

def note(step):
    found[step] = {
        "heavy": sorted(name for name in %r if name in sys.modules),
        "ours": sorted(name for name in sys.modules if name.startswith("VoxelMorphRegistrationLib")),
        "processes": len(psutil.Process().children()),
        "files": sorted(os.listdir(tempfile.gettempdir()) + os.listdir(os.environ["VOXELMORPH_REGISTRATION_CACHE"])),
        "nodes": slicer.mrmlScene.GetNumberOfNodes(),
    }

note("started")
module = host.load_module("VoxelMorphRegistration/VoxelMorphRegistration.py")
slicer.app.startupCompleted.emit()
note("loaded")
widget = host.show(module)
note("opened")
print(json.dumps(found))
"""


def test_neither_loading_nor_opening_the_module_does_anything_heavy(tmp_path):
    pytest.importorskip("slicer")
    pytest.importorskip("PySide6")
    import json
    import os

    environment = os.environ | {"VOXELMORPH_REGISTRATION_CACHE": str(tmp_path), "TMPDIR": str(tmp_path)}
    root = MODULE.parents[1]
    code = STEPS % (HEAVY,)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    ours = {name.removeprefix("VoxelMorphRegistrationLib").lstrip(".") for name in found["loaded"]["ours"]}
    assert ours <= {"", "logic", "slicer_bridge", "slicer_bridge.sample_data"}
    assert found["loaded"]["nodes"] == found["started"]["nodes"]
    assert found["opened"]["nodes"] == found["loaded"]["nodes"] + 1  # the choices
    for step in ("loaded", "opened"):
        assert found[step]["heavy"] == []
        assert found[step]["processes"] == 0
        assert found[step]["files"] == found["started"]["files"]


def imported_at_file_scope(path: Path) -> set[str]:
    """The packages that a file imports when it is read; not those inside functions or for type checkers only."""
    found: set[str] = set()

    def visit(body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.Import):
                found.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add((node.module or "").partition(".")[0])
            elif isinstance(node, ast.If):
                if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
                    visit(node.body)
                visit(node.orelse)
            elif isinstance(node, ast.ClassDef | ast.With):
                visit(node.body)
            elif isinstance(node, ast.Try):
                visit(node.body + node.orelse + node.finalbody + [s for h in node.handlers for s in h.body])

    visit(ast.parse(path.read_text(encoding="utf-8")).body)
    return found


def files() -> list[Path]:
    return [MODULE, *sorted((MODULE.parent / "VoxelMorphRegistrationLib").rglob("*.py"))]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(MODULE.parent)))
def test_files_import_only_what_slicer_has(path):
    foreign = imported_at_file_scope(path) - set(sys.stdlib_module_names) - ALLOWED
    assert foreign == set()


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(MODULE.parent)))
def test_nothing_runs_at_file_scope(path):
    """Definitions, imports and constants only; no call of a function for what it does."""
    if path.name == "__main__.py":
        return  # it is there to be run

    def check(body: list[ast.stmt]) -> None:
        for node in body:
            where = f"{path.name}:{node.lineno}: {ast.unparse(node)}"
            if isinstance(node, ast.If):
                if ast.unparse(node.test) != "__name__ == '__main__'":
                    check(node.body + node.orelse)
            elif isinstance(node, ast.Expr):
                assert isinstance(node.value, ast.Constant), where
            else:
                definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
                allowed = ast.Import | ast.ImportFrom | definitions | ast.Assign | ast.AnnAssign
                assert isinstance(node, allowed), where

    check(ast.parse(path.read_text(encoding="utf-8")).body)
