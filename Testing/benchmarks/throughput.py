"""What `sequence_throughput` has measured and kept, for the page and its plots."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from benchmarks.report import number, table

_SHORT = "half resolution"
_TARGET = "80x96x112"
"""In the name of the row for which the frames a second are promised: the network's grid."""
_LONG = re.compile(r"half resolution, (\d+) frames")

_CODE_DIGITS = 8
"""Of `kept.code_identity`, at the end of the rows' names."""


@dataclass(frozen=True)
class Way:
    """One way to register a sequence."""

    title: str
    frames_per_second: float
    bytes_per_frame: float | None = None
    peak_mb: float | None = None


@dataclass(frozen=True)
class Throughput:
    """Ours by the names that `sequence_throughput` gives them, and elastix's presets."""

    ours: Mapping[str, Way]
    elastix: Mapping[str, Way]

    @classmethod
    def kept_in(cls, folder: Path) -> Throughput | None:
        """The rows in the ``--work`` folder of `sequence_throughput`, of all models and of the newest code; None where
        there are none."""
        files = sorted(folder.glob("rows-*.json"), key=lambda path: path.stat().st_mtime)
        if not files:
            return None
        code = files[-1].stem[-_CODE_DIGITS:]
        rows: dict[str, dict[str, float]] = {}
        for path in files:
            if path.stem.endswith(code):
                rows |= json.loads(path.read_text())
        ours = {
            name: Way(name, row["frames_per_second"], row["bytes_per_frame"], row["peak_mb"])
            for name, row in rows.items()
        }
        seconds: dict[str, list[float]] = {}
        for path in sorted((folder / "elastix").glob("elastix_*_*.json")):
            seconds.setdefault(path.stem.split("_")[1], []).append(json.loads(path.read_text())["seconds"])
        elastix = {preset: Way(f"elastix, {preset}", 1 / mean(each)) for preset, each in seconds.items()}
        return cls(ours, elastix)

    @property
    def figures(self) -> dict[str, float | None]:
        """Those of which something is promised: `targets.SEQUENCE_BOUNDS`."""
        long = max((name for name in self.ours if _LONG.fullmatch(name)), key=_frames, default="")
        run, default = self.ours.get(long) or self.ours.get(_SHORT), self.elastix.get("default")
        promised = next((way for name, way in self.ours.items() if _TARGET in name), run)
        figures: dict[str, float | None] = {"frames_per_second": promised.frames_per_second if promised else None}
        if run and default:
            figures["times_elastix"] = run.frames_per_second / default.frames_per_second
        short = self.ours.get(_SHORT)
        if long and short and short.peak_mb and (peak := self.ours[long].peak_mb):
            figures["memory_growth_percent"] = 100 * (peak / short.peak_mb - 1)
        return figures

    def as_table(self) -> str:
        """Frames a second, bytes a frame and memory of every way."""
        lines = []
        default = self.elastix.get("default")
        for way in (*self.ours.values(), *self.elastix.values()):
            lines.append(
                [
                    way.title,
                    number(way.frames_per_second / default.frames_per_second if default else None, "{:.1f}x"),
                    f"{way.frames_per_second:.3g}",
                    f"{1 / way.frames_per_second:.2f}",
                    number(None if way.bytes_per_frame is None else way.bytes_per_frame / 1e6, "{:.2f}"),
                    number(way.peak_mb, "{:.0f}"),
                ]
            )
        head = ["", "against elastix's default", "frames a second", "s a frame", "MB a frame kept", "peak memory MB"]
        return table(head, lines)


def _frames(name: str) -> int:
    found = _LONG.fullmatch(name)
    return int(found[1]) if found else 0
