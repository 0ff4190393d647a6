"""The icon of the extension and of the module: a circle, and what a smooth deformation of its grid makes of it.

    python Testing/make_icon.py

Draws both PNG files (128 x 128) anew. Lines are wide enough to be seen at 24 pixels, the size in Slicer's menus.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
FILES = (
    ROOT / "Resources" / "VoxelMorphRegistration.png",
    ROOT / "VoxelMorphRegistration" / "Resources" / "Icons" / "VoxelMorphRegistration.png",
)
SIZE, FINER = 128, 8  # drawn larger and scaled down, for smooth edges
BACKGROUND, GRID, BEFORE, AFTER = "#16324f", "#5fa8d3", "#ffffff", "#ffb02e"


def warp(points: np.ndarray) -> np.ndarray:
    """A smooth map of the square [-1, 1]^2 that leaves its border where it is; points are (n, 2)."""
    x, y = points.T
    inside = np.cos(np.pi / 2 * x) * np.cos(np.pi / 2 * y)
    shift = np.stack([0.36 * np.sin(3.4 * y - 0.4), 0.28 * np.cos(3.2 * x + 0.4)], axis=1)
    return points + inside[:, None] * shift


def curve(draw: ImageDraw.ImageDraw, points: np.ndarray, color: str, width: float) -> None:
    """A line through points of [-1, 1]^2 that lie close together: discs, which have no joints."""
    radius = width * FINER / 2
    for x, y in (points * 0.40 + 0.5) * SIZE * FINER:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)


def draw_icon() -> Image.Image:
    """The picture, with transparent corners."""
    icon = Image.new("RGBA", (SIZE * FINER, SIZE * FINER), (0, 0, 0, 0))
    draw = ImageDraw.Draw(icon)
    draw.rounded_rectangle((0, 0, SIZE * FINER - 1, SIZE * FINER - 1), radius=20 * FINER, fill=BACKGROUND)
    along = np.linspace(-1, 1, 1000)
    for at in np.linspace(-1, 1, 5):
        across = np.full_like(along, at)
        curve(draw, warp(np.stack([along, across], axis=1)), GRID, 4)
        curve(draw, warp(np.stack([across, along], axis=1)), GRID, 4)
    angle = np.linspace(0, 2 * np.pi, 2000)
    circle = 0.62 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    curve(draw, warp(circle), AFTER, 10)
    curve(draw, circle, BEFORE, 4.5)
    return icon.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def main() -> None:
    """Write the files."""
    icon = draw_icon()
    for path in FILES:
        path.parent.mkdir(parents=True, exist_ok=True)
        icon.save(path, optimize=True)
        print(path.relative_to(ROOT), path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
