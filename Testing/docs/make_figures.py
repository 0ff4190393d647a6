"""The pictures of Docs/concepts/directions.md: ``.venv/bin/python Testing/docs/make_figures.py``.

Everything in them is computed: from the tutorials' heads (`example_data`) and, where a field is shown, by the library.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from scipy.ndimage import map_coordinates

mpl.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing" / "demo"), str(ROOT / "VoxelMorphRegistration")]
FIXED, MOVING, DPI = "tab:blue", "tab:orange", 100
Floats = np.ndarray[Any, np.dtype[np.floating]]


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "Docs" / "pictures")
    parser.add_argument("--spacing", type=float, default=2.0, help="of the volumes that are registered, in mm")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        import example_data

        example_data.write(Path(folder), options.spacing)
        for name, draw in (
            ("directions", directions),
            ("pull-and-push", pull_and_push),
            ("coordinates", coordinates),
            ("grid-transform", grid_transform),
            ("tensor", tensor),
        ):
            draw(Path(folder))
            plt.savefig(options.output / f"{name}.png", dpi=DPI, bbox_inches="tight", facecolor="white")
            plt.close("all")


def directions(folder: Path) -> None:
    """One point pair of a registration, and the two maps between its ends."""
    fixed, moving, field = _read(folder, "template.nii.gz"), _read(folder, "turned-brain.nii.gz"), _field(folder)
    x = (np.array([0.35, 0.3, 0.5]) * fixed.grid.shape).round()
    y = moving.grid.to_ijk(field.map_points(fixed.grid.to_ras(x)))
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.6))
    for axis, volume, at, title, color in (
        (axes[0], fixed, x, "fixed volume (stays)", FIXED),
        (axes[1], moving, y, "moving volume (is to lie on it)", MOVING),
    ):
        _show(axis, volume.array[:, :, round(float(at[2]))])
        axis.set_title(title, color=color)
        axis.plot(*at[:2], "o", color=color, markersize=9)
    x, y = x[:2], y[:2]
    look = 'resampling transform, "from parent":\nwhere in moving to look, x + u(x)'
    send = 'modeling transform, "to parent":\nwhere the point goes, y + v(y)'
    for start, end, color, height, text in (
        ((x, axes[0]), (y, axes[1]), FIXED, 0.9, look),
        ((y, axes[1]), (x, axes[0]), MOVING, 0.02, send),
    ):
        arrow = {"arrowstyle": "-|>", "color": color, "lw": 2.5, "connectionstyle": "arc3,rad=-0.35"}
        axes[1].annotate(
            "",
            end[0],
            start[0],
            xycoords=end[1].transData,
            textcoords=start[1].transData,
            arrowprops=arrow | {"shrinkA": 6, "shrinkB": 6, "mutation_scale": 20},
            annotation_clip=False,
        )
        figure.text(0.5, height, text, ha="center", color=color, fontsize=11)
    figure.subplots_adjust(bottom=0.16, top=0.82, wspace=0.25)


def pull_and_push(folder: Path) -> None:
    """The same map for an image: pulled through the resampling field, pushed by the modeling field; and for points."""
    moving = _axial(_read(folder, "template.nii.gz"))
    index = np.stack(np.meshgrid(*map(np.arange, moving.shape), indexing="ij")).astype(float)
    centre = np.array(moving.shape)[:, None, None] / 2
    away = index - centre
    weight = np.exp(-(away**2).sum(axis=0) / (2 * 22.0**2))
    u = -0.45 * away * weight  # the fixed anatomy is larger in the middle: look nearer to the centre
    v = _inverse(u)
    pulled = map_coordinates(moving, index + u, order=1)
    pushed = np.full(moving.shape, np.nan)
    target = np.rint(index + v).astype(int)
    inside = np.all((target >= 0) & (target < np.array(moving.shape)[:, None, None]), axis=0)
    pushed[tuple(target[:, inside])] = moving[inside]
    _, axes = plt.subplots(1, 3, figsize=(12, 4.8))
    for axis, picture, title in (
        (axes[0], moving, "moving volume, and points of it"),
        (axes[1], pulled, "image pulled (resampling): complete;\npoints sent (modeling): on the same place"),
        (axes[2], pushed, "image pushed (its voxels sent by\nthe modeling field): holes (red)"),
    ):
        _show(axis, picture)
        axis.set_title(title, fontsize=10)
    ring = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    points = np.array(moving.shape)[:, None] / 2 + 14.0 * np.stack([np.cos(ring), np.sin(ring)])
    moved = points + np.stack([map_coordinates(part, points, order=1) for part in v])
    axes[0].plot(*points, ".", color=MOVING)
    axes[1].plot(*moved, ".", color=MOVING)


def coordinates(folder: Path) -> None:
    """The axes of an array and those of the body on one slice."""
    from VoxelMorphRegistrationLib.files.volumes import read_volume

    volume = read_volume(folder / "subject.nii.gz")
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.6))
    _show(axes[0], volume.array[:, :, volume.grid.shape[2] // 2])
    axes[0].set_title(f"the array as it is stored ({volume.grid.orientation})", fontsize=10)
    in_ras = volume.grid.reoriented("RAS")
    turned = volume.array[tuple(slice(None, None, -1) if f else slice(None) for f in _flips(volume.grid, in_ras))]
    for axis, title in ((axes[1], "RAS mm: Slicer, NIfTI, this library"), (axes[2], "LPS mm: DICOM, ITK")):
        _show(axis, turned[:, :, turned.shape[2] // 2])
        axis.set_title(title, fontsize=10)
    size = np.array(turned.shape[:2])
    _axes_of(axes[0], (3, 3), (0.35 * size[0], 0), (0, 0.35 * size[1]), "i", "j", "yellow")
    _axes_of(axes[1], size / 2, (0.35 * size[0], 0), (0, 0.35 * size[1]), "R (+)", "A (+)", "lime")
    _axes_of(axes[2], size / 2, (-0.35 * size[0], 0), (0, -0.35 * size[1]), "L (+)", "P (+)", "cyan")
    for axis in axes[1:]:
        axis.set_xlabel("← patient's left      patient's right →")
    figure.suptitle("Seen from the head; Slicer's own views have the patient's right on the left", fontsize=9, y=0.02)


def grid_transform(folder: Path) -> None:
    """What the field stores: vectors at the fixed volume's voxels; and where they lead in the moving volume."""
    fixed, moving, field = _read(folder, "template.nii.gz"), _read(folder, "turned-brain.nii.gz"), _field(folder)
    k, every = fixed.grid.shape[2] // 2, 8
    lines = [np.arange(every // 2, n, every) for n in fixed.grid.shape[:2]]
    i, j = (a.ravel() for a in np.meshgrid(*lines, indexing="ij"))
    at = np.stack([i, j, np.full_like(i, k)], axis=-1)
    reached = moving.grid.to_ijk(field.map_points(fixed.grid.to_ras(at)))
    step = fixed.grid.to_ijk(field.map_points(fixed.grid.to_ras(at))) - at
    _, axes = plt.subplots(1, 2, figsize=(9.5, 5.2))
    _show(axes[0], fixed.array[:, :, k])
    axes[0].quiver(i, j, step[:, 0], step[:, 1], angles="xy", scale_units="xy", scale=1, color=FIXED, width=0.004)
    axes[0].set_title(
        "stored: a vector in mm at each voxel of the\nfixed volume's geometry (every 8th shown)", fontsize=10
    )
    _show(axes[1], moving.array[:, :, round(float(np.median(reached[:, 2])))])
    lattice = reached[:, :2].reshape(len(lines[0]), len(lines[1]), 2)
    for line in (*lattice, *lattice.swapaxes(0, 1)):
        axes[1].plot(line[:, 0], line[:, 1], "-", color=FIXED, linewidth=0.9)
    axes[1].set_title("meant: where each of these voxels\nis sampled in the moving volume", fontsize=10)


def tensor(folder: Path) -> None:
    """A network's tensor put into a grid transform in four ways, and what becomes of the moving volume."""
    from VoxelMorphRegistrationLib.network.tensor import displacement_from_tensor, voxels_to_ras
    from VoxelMorphRegistrationLib.spatial import DisplacementField

    fixed, moving = _read(folder, "template.nii.gz"), _read(folder, "turned-brain.nii.gz")
    output = np.load(folder / "voxelmorph-output.npy")
    kji = (*fixed.grid.shape[::-1], 3)  # the shape of slicer.util.arrayFromGridTransform
    right = voxels_to_ras(displacement_from_tensor(output, fixed.grid.shape), fixed.grid.ijk_to_ras)
    field = DisplacementField(right, fixed.grid)
    ways = {
        "the moving volume as it lies": DisplacementField.zero(fixed.grid),
        "array[:] = tensor.reshape(array.shape)": DisplacementField(
            np.ascontiguousarray(output.reshape(kji).transpose(2, 1, 0, 3)), fixed.grid
        ),
        "axes moved, but voxels used as mm": DisplacementField(
            np.ascontiguousarray(np.moveaxis(output[0], 0, -1)), fixed.grid
        ),
        'right numbers, stored "to parent"': field.inverse(tolerance_mm=20.0),
        "gridTransformFromTensor(tensor, fixedVolume)": field,
    }
    _, axes = plt.subplots(1, len(ways), figsize=(3.0 * len(ways), 4.0))
    inside = fixed.array > 0
    for axis, (title, used) in zip(axes, ways.items(), strict=True):
        moved = used.warp(moving, fixed.grid).array
        _show(axis, _axial_array(moved))
        axis.contour(_axial_array(inside).T, [0.5], colors=FIXED, linewidths=1)
        alike = np.corrcoef(moved[inside], fixed.array[inside])[0, 1]
        axis.set_title(f"{title}\ncorrelation {alike:.2f}", fontsize=8)


def _read(folder: Path, name: str) -> Any:
    from VoxelMorphRegistrationLib.files.volumes import read_volume

    return read_volume(folder / name)


def _field(folder: Path) -> Any:
    from VoxelMorphRegistrationLib.network.tensor import displacement_from_tensor, voxels_to_ras
    from VoxelMorphRegistrationLib.spatial import DisplacementField

    grid = _read(folder, "template.nii.gz").grid
    voxels = displacement_from_tensor(np.load(folder / "voxelmorph-output.npy"), grid.shape)
    return DisplacementField(voxels_to_ras(voxels, grid.ijk_to_ras), grid)


def _axial(volume: Any) -> Floats:
    return _axial_array(volume.array)


def _axial_array(array: Any) -> Floats:
    return np.asarray(array[:, :, array.shape[2] // 2], float)


def _show(axis: Any, picture: Any) -> None:
    axis.set_facecolor("red")
    shown = np.ma.masked_invalid(np.asarray(picture, float)).T
    axis.imshow(shown, cmap="gray", origin="lower", interpolation="nearest")
    axis.set_xlim(-0.5, picture.shape[0] - 0.5)
    axis.set_ylim(-0.5, picture.shape[1] - 0.5)
    axis.set_xticks([])
    axis.set_yticks([])


def _axes_of(axis: Any, start: Any, first: Any, second: Any, name: str, other: str, color: str) -> None:
    for (dx, dy), text in ((first, name), (second, other)):
        end = (start[0] + dx, start[1] + dy)
        axis.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": color, "lw": 2.5})
        at = (start[0] + 1.18 * dx, start[1] + 1.12 * dy)
        axis.text(*at, text, color=color, fontsize=12, fontweight="bold", ha="center", va="center")


def _flips(grid: Any, other: Any) -> list[bool]:
    """Which axes of ``grid`` run the other way in ``other``; both have them in the same order."""
    return [bool(np.sign(grid.axes[a, a]) != np.sign(other.axes[a, a])) for a in range(3)]


def _inverse(u: Floats) -> Floats:
    """By fixed-point iteration: v(y) = -u(y + v(y))."""
    index = np.stack(np.meshgrid(*map(np.arange, u.shape[1:]), indexing="ij")).astype(float)
    v = -u
    for _ in range(60):
        v = -np.stack([map_coordinates(part, index + v, order=1, mode="nearest") for part in u])
    return v


if __name__ == "__main__":
    main()
