"""What refinement makes of several starts on several pairs, beside SimpleITK's demons: the table of Docs/refinement.md.

    python Testing/benchmarks/refinement_table.py --keep CELLS.jsonl --write

Budgets and costs are CPU seconds of the process (on two quiet cores the wall time is a little more than half of
them), so that a busy machine gives the same table. Finished cells are kept in ``--keep``; a stopped run goes on.
Networks run once for each start and pair.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

from VoxelMorphRegistrationLib.files.volumes import read_volume  # noqa: E402
from VoxelMorphRegistrationLib.network.histogram import match_histogram  # noqa: E402
from VoxelMorphRegistrationLib.pipeline.quality.quick import folded_percent  # noqa: E402
from VoxelMorphRegistrationLib.pipeline.refinement import refine  # noqa: E402
from VoxelMorphRegistrationLib.pipeline.refinement.fields import in_space, in_voxels  # noqa: E402
from VoxelMorphRegistrationLib.pipeline.refinement.pair import pair_on_lattice  # noqa: E402
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, register  # noqa: E402
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Image  # noqa: E402
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge  # noqa: E402

from benchmarks.evaluation import dice  # noqa: E402
from benchmarks.pairs import DATA, PAIRS, WEIGHTS, labels_that_count  # noqa: E402

SEED = DATA / "default_model_seed" / "seed.h5"
STARTS = {"T1 model, full": (WEIGHTS, "full"), "T1 model, half": (WEIGHTS, "half"), "seed model, half": (SEED, "half")}
NONE = "no network"
METHODS = ("start", "ITK demons, 5 steps", "refine, 10 s CPU", "refine, 40 s CPU")
CASES = ("main", "bert", "main, moving inverted", "CT, known warp")
BEGIN, END = "<!-- refinement_table.py: begin -->", "<!-- refinement_table.py: end -->"


@dataclass(frozen=True, eq=False)
class Case:
    """A pair, the labels of both, those that count, and how it is pre-aligned."""

    fixed: Image
    moving: Image
    fixed_labels: Image
    moving_labels: Image
    labels: list[int]
    pre_align: str

    def dice(self, deformation: Deformation) -> float:
        moved = deformation.warp_labels(self.moving_labels, self.fixed.grid)
        overlap = dice(*(bridge.scalar_to_sitk(each.array.astype(np.int32), self.fixed.grid)
                         for each in (self.fixed_labels, moved)), self.labels)  # fmt: skip
        return float(np.nanmean(overlap))


@lru_cache(maxsize=1)
def case(name: str) -> Case:
    if name == "CT, known warp":
        moving, labels = read_volume(DATA / "ct/example_ct.nii.gz"), read_volume(DATA / "ct/example_seg.nii.gz")
        warp = _known_warp(moving)
        counted = [int(n) for n in np.unique(labels.array) if n and (labels.array == n).sum() > 200]
        fixed = warp.warp(moving, moving.grid, outside=float(moving.array.min()))
        return Case(fixed, moving, warp.warp_labels(labels, moving.grid), labels, counted, "none")
    pair = PAIRS[name.partition(",")[0]]
    fixed, moving = read_volume(pair.fixed), read_volume(pair.moving)
    if "inverted" in name:
        array = moving.array.astype(np.float32)
        top = np.quantile(array[array > 0], 0.999)
        moving = moving.with_array(np.where(array > 0, np.clip(1.1 * top - array, 1, None), 0).astype(np.float32))
    return Case(
        fixed, moving, read_volume(pair.fixed_labels), read_volume(pair.moving_labels), labels_that_count(),
        "affine" if name == "bert" else "none",
    )  # fmt: skip


def _known_warp(image: Image) -> DisplacementField:
    """Smoothed noise, 12 mm rms in each component, over 45 mm, fading at the border."""
    random = np.random.default_rng(0).normal(size=(*image.grid.shape, 3))
    sigma = (45 / image.grid.spacing[::-1]).tolist()
    smooth = sitk.GetArrayFromImage(
        sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(random, isVector=True), sigma)
    )
    for axis, size in enumerate(image.grid.shape):
        ramp = np.clip(np.minimum(np.arange(size), np.arange(size)[::-1]) / 12, 0, 1)
        smooth *= ramp.reshape([-1 if a == axis else 1 for a in range(4)])
    return DisplacementField((12 * smooth / smooth.std()).astype(np.float32), image.grid)


@lru_cache(maxsize=1)
def start(name: str, case_name: str) -> Deformation:
    at = case(case_name)
    if name == NONE:
        found = start("T1 model, half", case_name)
        return Deformation(found.affine, DisplacementField.zero(found.displacement.grid))
    weights, resolution = STARTS[name]
    options = RegistrationOptions(model=str(weights), resolution=resolution, pre_align=at.pre_align)  # type: ignore[arg-type]
    return register(at.fixed, at.moving, options).deformation


def itk_demons(at: Case, given: Deformation) -> Deformation:
    """Diffeomorphic, 5 steps, field smoothing 0.8 voxels, the fixed histogram matched: anchors.md, section 7."""
    pair = pair_on_lattice(at.fixed, at.moving, given.affine, None, None)
    moving = np.nan_to_num(pair.moving)
    fixed = match_histogram(np.nan_to_num(pair.fixed), moving)
    field = in_voxels(given.displacement.resampled(pair.grid))
    demons = sitk.DiffeomorphicDemonsRegistrationFilter()
    demons.SetNumberOfIterations(5)
    demons.SetSmoothDisplacementField(True)
    demons.SetStandardDeviations(0.8)
    vectors = np.ascontiguousarray(np.moveaxis(field[::-1], 0, -1), np.float64)
    result = demons.Execute(
        sitk.GetImageFromArray(fixed), sitk.GetImageFromArray(moving), sitk.GetImageFromArray(vectors, isVector=True)
    )
    found = np.moveaxis(sitk.GetArrayFromImage(result)[..., ::-1], -1, 0).astype(np.float32)
    return Deformation(given.affine, in_space(found, pair.grid))


def cell(case_name: str, start_name: str, method: str) -> dict[str, object]:
    at, given = case(case_name), start(start_name, case_name)
    since, said = time.process_time(), ""
    found = given
    if method.startswith("ITK"):
        found = itk_demons(at, given)
    elif method.startswith("refine"):
        found, report = refine(at.fixed, at.moving, given, float(method.split()[1]), clock=time.process_time)
        said = str(report)
    seconds = time.process_time() - since
    return {
        "case": case_name, "start": start_name, "method": method, "dice": at.dice(found),
        "folded": folded_percent(found.displacement, at.fixed), "cpu": seconds, "said": said,
    }  # fmt: skip


def table(cells: list[dict[str, object]]) -> str:
    lines = ["| pair | start | method | Dice | % folded | CPU s | |", "|---|---|---|---|---|---|---|"]
    for c in cells:
        lines.append(
            f"| {c['case']} | {c['start']} | {c['method']} | {c['dice']:.3f} | {c['folded']:.3g} | {c['cpu']:.1f} "
            f"| {c['said']} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--keep", type=Path, default=Path("refinement-cells.jsonl"))
    parser.add_argument("--cases", default=";".join(CASES))
    parser.add_argument("--starts", default=";".join([*STARTS, NONE]))
    parser.add_argument("--methods", default=";".join(METHODS))
    parser.add_argument("--write", action="store_true", help="into Docs/refinement.md")
    options = parser.parse_args()
    kept = [json.loads(line) for line in options.keep.read_text().splitlines()] if options.keep.exists() else []
    for case_name in options.cases.split(";"):
        for start_name in options.starts.split(";"):
            for method in options.methods.split(";"):
                key = (case_name, start_name, method)
                if any((c["case"], c["start"], c["method"]) == key for c in kept):
                    continue
                kept.append(cell(*key))
                with options.keep.open("a") as stream:
                    stream.write(json.dumps(kept[-1]) + "\n")
                print(table(kept[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(table(kept))
    if options.write:
        page = ROOT / "Docs" / "refinement.md"
        before, _, rest = page.read_text().partition(BEGIN)
        page.write_text(f"{before}{BEGIN}\n{table(kept)}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
