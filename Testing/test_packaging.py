"""What the extension's CMake files promise is what lies on the disk."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "VoxelMorphRegistration"


def _listed(variable: str) -> list[str]:
    text = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    block = re.search(rf"set\({variable}\n(.*?)\)", text, re.DOTALL)
    assert block is not None, f"{variable} is not set in the module's CMakeLists.txt"
    return block.group(1).split()


def test_every_script_is_listed():
    on_disk = {
        str(path.relative_to(MODULE))
        for path in MODULE.rglob("*.py")
        if "__pycache__" not in path.parts and path.relative_to(MODULE).parts[0] != "Testing"
    }
    assert sorted(_listed("MODULE_PYTHON_SCRIPTS")) == sorted(on_disk)


def test_every_resource_is_listed():
    on_disk = {str(path.relative_to(MODULE)) for path in (MODULE / "Resources").rglob("*") if path.is_file()}
    assert sorted(_listed("MODULE_PYTHON_RESOURCES")) == sorted(on_disk)


def test_the_extension_builds_the_module_and_runs_its_test():
    extension = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert "project(VoxelMorphRegistration)" in extension
    assert "add_subdirectory(VoxelMorphRegistration)" in extension
    module = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    assert "WITH_GENERIC_TESTS" in module
    unittest = (MODULE / "Testing" / "Python" / "CMakeLists.txt").read_text(encoding="utf-8")
    assert "slicer_add_python_unittest(SCRIPT ${MODULE_NAME}.py" in unittest


@pytest.mark.parametrize("name", ["LICENSE", "README.md", "CMakeLists.txt"])
def test_top_level_has_what_the_extensions_index_asks_for(name):
    assert (ROOT / name).stat().st_size > 0


def test_a_wheel_holds_every_room():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(project["tool"]["setuptools"]["packages"]) - {"VoxelMorphRegistrationLib.resources"}
    on_disk = {
        ".".join(path.parent.relative_to(MODULE).parts)
        for path in (MODULE / "VoxelMorphRegistrationLib").rglob("__init__.py")
    }
    assert listed == on_disk
