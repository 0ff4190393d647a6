"""Lines over time as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from VoxelMorphRegistrationLib.pipeline.report.markup import Element, element
from VoxelMorphRegistrationLib.pipeline.report.parts import number

_WIDTH, _HEIGHT = 520, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 10, 34
_COLOURS = 6
_MOST_DOTS = 60


@dataclass(frozen=True)
class Line:
    """``values`` has one for each x; NaN leaves a gap."""

    name: str
    values: Sequence[float]


def line_plot(
    title: str,
    x: Sequence[float],
    lines: Sequence[Line],
    *,
    x_name: str = "frame",
    unit: str = "",
    mark: float | None = None,
    from_zero: bool = False,
) -> Element:
    """A figure with a legend. ``mark``: an x at which a dashed line stands, such as the reference's."""
    known = [value for line in lines for value in line.values if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    frame = _Frame.around(min(x), max(x), 0.0 if from_zero else low, high)
    made = element(
        "svg",
        list(frame.axes(x_name)),
        list(frame.marked(mark)),
        [part for n, line in enumerate(lines) for part in frame.line(x, line, f"c{n % _COLOURS + 1}", x_name, unit)],
        class_="plot",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"{title}: " + ", ".join(line.name for line in lines),
    )
    keys = [
        element("span", element("i", class_=f"c{n % _COLOURS + 1}"), line.name, class_="key")
        for n, line in enumerate(lines)
    ]
    heading = element("h3", title + (f" ({unit.strip()})" if unit.strip() else ""))
    return element("figure", heading, element("div", keys, class_="legend"), made)


@dataclass(frozen=True)
class _Frame:
    """Where values lie on the plot."""

    x_low: float
    x_high: float
    y_ticks: tuple[float, ...]

    @classmethod
    def around(cls, x_low: float, x_high: float, y_low: float, y_high: float) -> _Frame:
        if y_high - y_low < 1e-9:
            y_low, y_high = (0.0, 1.0) if y_low == y_high == 0 else (y_low - 0.5, y_high + 0.5)
        return cls(x_low, x_high if x_high > x_low else x_low + 1, _ticks(y_low, y_high, 5))

    def x(self, value: float) -> float:
        return _LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def axes(self, x_name: str) -> Iterator[Element]:
        for tick in self.y_ticks:
            y = f"{self.y(tick):.1f}"
            yield element("line", class_="grid", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y)
            yield element("text", _told(tick), x=_LEFT - 6, y=f"{self.y(tick) + 4:.1f}", text_anchor="end")
        for tick in _ticks(self.x_low, self.x_high, 8):
            if self.x_low <= tick <= self.x_high and tick == round(tick):
                yield element(
                    "text", _told(tick), x=f"{self.x(tick):.1f}", y=_HEIGHT - _BOTTOM + 16, text_anchor="middle"
                )
        yield element("text", x_name, x=_WIDTH - _RIGHT, y=_HEIGHT - 3, text_anchor="end")

    def marked(self, mark: float | None) -> Iterator[Element]:
        if mark is not None:
            x = f"{self.x(mark):.1f}"
            yield element("line", class_="mark", x1=x, x2=x, y1=_TOP, y2=_HEIGHT - _BOTTOM)

    def line(self, x: Sequence[float], line: Line, colour: str, x_name: str, unit: str) -> Iterator[Element]:
        points = [(self.x(at), self.y(value)) for at, value in zip(x, line.values, strict=True)]
        path, drawing = [], False
        for across, up in points:
            if math.isfinite(up):
                path.append(f"{'L' if drawing else 'M'}{across:.1f} {up:.1f}")
            drawing = math.isfinite(up)
        yield element("path", d="".join(path), class_=colour)
        radius = 2.6 if len(x) <= _MOST_DOTS else 1.2
        for at, value, (across, up) in zip(x, line.values, points, strict=True):
            if math.isfinite(up):
                said = element("title", f"{line.name}, {x_name} {at:g}: {number(value)}{unit}")
                yield element("circle", said, class_=colour, cx=f"{across:.1f}", cy=f"{up:.1f}", r=radius)


def _ticks(low: float, high: float, about: int) -> tuple[float, ...]:
    """Round numbers from at or below ``low`` to at or above ``high``."""
    raw = (high - low) / about
    scale = 10.0 ** math.floor(math.log10(raw))
    step = scale * next(each for each in (1, 2, 2.5, 5, 10) if each * scale >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(float(np.round(n * step, 10)) for n in range(first, last + 1))


def _told(value: float) -> str:
    return f"{value:.6g}"
