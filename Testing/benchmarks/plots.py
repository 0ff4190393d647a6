"""The page's plots; run by an interpreter that has matplotlib: ``python -m benchmarks.plots DATA.json FOLDER``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

OURS, PEERS, LIGHT = "#1f6fb4", "#8a8f98", "#a9cbe8"
_MARKS = {
    "default-half": ("default, half", "o", OURS),
    "default": ("default", "o", OURS),
    "default-5s": ("default + 5 s", "o", OURS),
    "default-30s": ("default + 30 s", "o", OURS),
    "t1": ("T1 model", "D", "#12a07a"),
    "t1-3s": ("T1 model + 3 s", "D", "#12a07a"),
    "elastix": ("elastix", "s", "#d1495b"),
    "syn": ("ANTs SyN", "^", "#e08e1d"),
    "greedy": ("greedy", "v", "#7a5195"),
    "demons": ("demons", "P", "#6b4f3a"),
}
_PATH = ("default-half", "default", "default-5s", "default-30s")
"""Ours from the quickest to the most thorough, joined by a line."""
_SIZES = dict(zip((*_PATH, "t1", "t1-3s"), (22, 40, 60, 85, 34, 60), strict=True))
_AXES = {"dice": "Dice", "ncc": "correlation", "error_mm": "error, mm"}
_COLUMNS = 4


def quality(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A panel for each pair."""
    count = -(-(len(rows) + 1) // _COLUMNS)
    figure, panels = plt.subplots(count, _COLUMNS, figsize=(13, 3.1 * count), squeeze=False, layout="constrained")
    flat = list(panels.flat)
    for axes, row in zip(flat, rows, strict=False):
        _panel(axes, row)
    for axes in flat[len(rows) :]:
        axes.axis("off")
    for title, mark, colour, size in _legend():
        flat[-1].scatter([], [], marker=mark, color=colour, s=size, label=title)
    flat[-1].legend(loc="center", frameon=False, fontsize=10)
    figure.savefig(path, dpi=90)


def _legend() -> list[tuple[str, str, str, int]]:
    return [(title, mark, colour, _SIZES.get(name, 48)) for name, (title, mark, colour) in _MARKS.items()]


def _panel(axes: Axes, row: Mapping[str, Any]) -> None:
    points = {point["method"]: point for point in row["points"]}
    if start := points.get("pre-align"):
        axes.axhline(start["value"], color="#b8bcc4", linestyle="--", linewidth=1)
    way = [points[name] for name in _PATH if name in points and points[name]["wall_s"] is not None]
    axes.plot([point["wall_s"] for point in way], [point["value"] for point in way], color=OURS, linewidth=1, alpha=0.6)
    for name, (_, mark, colour) in _MARKS.items():
        if not (point := points.get(name)):
            continue
        size = _SIZES.get(name, 48)
        if point["wall_s"] is not None:
            axes.scatter(point["wall_s"], point["value"], marker=mark, color=colour, s=size, zorder=3)
        else:  # at the edge, where it says no time
            at = {"transform": axes.get_yaxis_transform(), "clip_on": False, "zorder": 3}
            axes.axhline(point["value"], alpha=0)  # the axis reaches so far
            axes.scatter(1.0, point["value"], marker=mark, facecolors="white", edgecolors=colour, s=size, **at)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title(f"{row['row']}", fontsize=11, fontweight="bold")
    axes.set_xlabel("seconds", fontsize=9)
    axes.set_ylabel(_AXES[row["measure"]], fontsize=9)
    if row["measure"] == "error_mm":
        axes.invert_yaxis()
    axes.tick_params(labelsize=8)
    _bare(axes)


def bars(rows: Sequence[Mapping[str, Any]], value: str, label: str, path: Path, form: str) -> None:
    """A horizontal bar for each, ours in colour, with its number."""
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(rows) + 0.9), layout="constrained")
    shown = list(rows)[::-1]
    colours = [OURS if row["ours"] else PEERS for row in shown]
    drawn = axes.barh([row["title"] for row in shown], [row[value] for row in shown], color=colours, height=0.65)
    axes.bar_label(drawn, labels=[form.format(row[value]) for row in shown], padding=4, fontsize=9)
    axes.margins(x=0.12)
    axes.set_xlabel(label, fontsize=9)
    axes.tick_params(labelsize=9)
    _bare(axes)
    figure.savefig(path, dpi=90)


def cold_start(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Start and first job in one bar, a later job in another below it."""
    figure, axes = plt.subplots(figsize=(9, 0.62 * len(rows) + 1.3), layout="constrained")
    shown = list(rows)[::-1]
    places = range(len(shown))
    start, first, later = ([row[name] for row in shown] for name in ("start_s", "first_s", "later_s"))
    upper, lower = [place + 0.19 for place in places], [place - 0.19 for place in places]
    axes.barh(upper, start, height=0.36, color="#c9ccd2", label="interpreter and imports")
    whole = axes.barh(upper, first, left=start, height=0.36, color=OURS, label="first job")
    again = axes.barh(lower, later, height=0.36, color=LIGHT, label="a later job")
    axes.bar_label(whole, labels=[f"{a + b:.1f} s" for a, b in zip(start, first, strict=True)], padding=4, fontsize=9)
    axes.bar_label(again, labels=[f"{each:.1f} s" for each in later], padding=4, fontsize=9)
    axes.set_yticks(list(places), [row["title"] for row in shown], fontsize=9)
    axes.margins(x=0.12)
    axes.set_xlabel("seconds", fontsize=9)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    _bare(axes)
    figure.savefig(path, dpi=90)


def _bare(axes: Axes) -> None:
    axes.grid(axis="both", color="#e6e8ec", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def main() -> None:
    """Draw what there is data for."""
    data, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    paths = {name: folder / f"benchmarks-{name}.png" for name in data}
    if data["quality"]:
        quality(data["quality"], paths["quality"])
    if data["memory"]:
        bars(data["memory"], "gb", "peak memory, GB", paths["memory"], "{:.2f}")
    if data["throughput"]:
        bars(data["throughput"], "frames_per_second", "frames per second", paths["throughput"], "{:.3g}")
    if data["cold-start"]:
        cold_start(data["cold-start"], paths["cold-start"])


if __name__ == "__main__":
    main()
