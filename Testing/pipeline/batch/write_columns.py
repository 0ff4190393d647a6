"""Put the table of columns into Docs/batch.md: ``python Testing/pipeline/batch/write_columns.py``."""

from __future__ import annotations

# ruff: noqa: E402, this is a script: it sets sys.path first
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

from benchmarks.documents import put_between
from VoxelMorphRegistrationLib.pipeline.batch.columns import as_table

if __name__ == "__main__":
    put_between(ROOT / "Docs/batch.md", "columns", as_table())
