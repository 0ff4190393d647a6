"""The loss curve: a CSV file that grows while the training runs, and a picture of it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from VoxelMorphRegistrationLib.errors import FileError

COLUMNS = ("step", "seconds", "loss", "residual", "validation_residual", "validation_harmed")


class LossCurve:
    """Rows of ``curve.csv`` in a folder; ``draw`` makes ``curve.png`` of them (where matplotlib is installed)."""

    def __init__(self, folder: Path, from_step: int) -> None:
        """Goes on after ``from_step``: later rows, of a run that was cut off, are dropped."""
        self.path = folder / "curve.csv"
        kept = [row for row in read_curve(self.path) if row["step"] <= from_step]
        with self.path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows({name: _text(row[name]) for name in COLUMNS} for row in kept)

    def add(self, **values: float) -> None:
        """Append a row; columns that were not measured stay empty."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS).writerow({name: _text(values.get(name, np.nan)) for name in COLUMNS})

    def draw(self) -> None:
        """Write ``curve.png`` beside the CSV file."""
        draw_curve(self.path, self.path.with_suffix(".png"))


def read_curve(path: Path) -> list[dict[str, float]]:
    """The rows of a curve; empty values are NaN. No file is no rows. Raises FileError for a damaged one."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{name: float(row[name] or "nan") for name in COLUMNS} for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise FileError(f"{path} is no loss curve, or is damaged; remove it to draw a new one.") from error


def draw_curve(source: Path, picture: Path) -> bool:
    """The residual in training and on held-out pairs against the steps, as PNG; False without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    rows = read_curve(source)
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for name, label, style in (("residual", "training", "-"), ("validation_residual", "held-out pairs", "o-")):
        points = [(row["step"], row[name]) for row in rows if np.isfinite(row[name])]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=label, markersize=3)
    axes.set_xlabel("step")
    axes.set_ylabel("squared difference left (1: unregistered)")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(picture, dpi=120)
    return True


def _text(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"
