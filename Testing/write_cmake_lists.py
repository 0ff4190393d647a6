"""Rewrites the list of files in VoxelMorphRegistration/CMakeLists.txt from the disk; run it after adding a file.

``.venv/bin/python Testing/write_cmake_lists.py``; `test_packaging` fails where the list and the disk differ.
"""

from __future__ import annotations

import re
from pathlib import Path

MODULE = Path(__file__).resolve().parents[1] / "VoxelMorphRegistration"


def main() -> None:
    """Every Python file but tests, every resource."""
    scripts = (p for p in MODULE.rglob("*.py") if not {"Testing", "__pycache__"} & set(p.parts))
    resources = (p for p in (MODULE / "Resources").rglob("*") if p.is_file() and not p.name.startswith("."))
    lists = MODULE / "CMakeLists.txt"
    text = lists.read_text(encoding="utf-8")
    for variable, paths in (("MODULE_PYTHON_SCRIPTS", scripts), ("MODULE_PYTHON_RESOURCES", resources)):
        names = "".join(f"  {name}\n" for name in sorted(p.relative_to(MODULE).as_posix() for p in paths))
        text = re.sub(rf"(set\({variable}\n).*?(  \)\n)", rf"\g<1>{names}\g<2>", text, flags=re.DOTALL)
    lists.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
