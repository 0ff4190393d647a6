"""How well a segmentation is carried through a sequence, in every mode: the tables of Docs/sequences.md.

``python Testing/benchmarks/sequence_table.py --write`` makes a breathing sequence from the trunk CT in ../shared/data
(its motion, and so the truth of every voxel, is known), carries the organ labels from the reference frame to all others
and compares; then the 4-D ultrasound, of which the truth is not known. ``--elastix .venv-bench/bin/python`` adds
elastix on some of the frames. What is finished stays in ``--work``, frame by frame, and is not done again with the same
model and code; stopped at any moment, the same command goes on.
"""

from __future__ import annotations

# ruff: noqa: E402, this is a script: it sets sys.path first
import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

import numpy as np
from pipeline.sequence import breathing
from pipeline.sequence.breathing import Breathing, breathing_ct
from shared_data import SHARED_DATA
from VoxelMorphRegistrationLib.files.frames import open_frames
from VoxelMorphRegistrationLib.files.transforms import read_field
from VoxelMorphRegistrationLib.files.volumes import read_labels, read_volume, write_volume
from VoxelMorphRegistrationLib.network.catalogue import DEFAULT_MODEL
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions
from VoxelMorphRegistrationLib.pipeline.sequence import SequenceOptions, register_sequence
from VoxelMorphRegistrationLib.pipeline.sequence.labels import LabelCarrier
from VoxelMorphRegistrationLib.spatial import DisplacementField, Image

from benchmarks.documents import put_between
from benchmarks.elastix_frames import PRESETS, elastix
from benchmarks.kept import identity
from benchmarks.machine import Machine

PAGE = ROOT / "Docs" / "sequences.md"
MARK = "sequence table"
_FEWEST_VOXELS = 50
"""Organs smaller than this in a frame are not judged: the CT's labels cover 30 of its slices."""


@dataclass(frozen=True)
class Row:
    """One way to do it, over all frames but the reference."""

    name: str
    dice: float
    error_mm: float
    p95_mm: float
    folded: float
    seconds: float
    note: str = ""

    def __str__(self) -> str:
        return (
            f"| {self.name} | {self.dice:.3f} | {self.error_mm:.2f} | {self.p95_mm:.2f} | {self.folded:.2g} | "
            f"{self.seconds:.2f} | {self.note} |"
        )


def ways(model: str, resolution: str, refine: float) -> Iterator[tuple[str, SequenceOptions]]:
    """Name and options of every way that is compared."""
    registration = RegistrationOptions(model=model, resolution=resolution, pre_align="none")
    base = SequenceOptions(registration=registration)
    yield "every frame to the reference", base
    yield "the same, bias left in", replace(base, bias="none")
    yield "the same, bias off by registering both ways", replace(base, bias="swapped")
    yield "the same, rigid pre-alignment", replace(base, registration=replace(registration, pre_align="rigid"))
    yield "warm start", replace(base, mode="warm")
    yield "chain", replace(base, mode="chain")
    yield "key frames, one in 3", replace(base, mode="keyframes", key_every=3)
    yield "key frames, as many, by content", replace(base, mode="keyframes", key_every=3, key_choice="content")
    if refine:
        refined = replace(registration, refine_seconds=refine)
        yield f"every frame to the reference, refined {refine:g} s", replace(base, registration=refined)


def breathing_rows(arguments: argparse.Namespace) -> list[Row]:
    """The CT that breathes."""
    breath = breathing_ct(arguments.frames)
    made_by = hashlib.sha256(Path(breathing.__file__).read_bytes()).hexdigest()[:8]
    place = arguments.work / f"breath-{arguments.frames}-{made_by}"
    folder, truths = place / "frames", place / "truth"
    for n in range(len(breath)):
        if not (folder / f"{n:03d}.nrrd").exists():
            truths.mkdir(parents=True, exist_ok=True)
            folder.mkdir(exist_ok=True)
            write_volume(breath.labels_of(n), truths / f"{n:03d}.nrrd")
            write_volume(breath.image(n), folder / f"{n:03d}.nrrd")
    truth = [read_labels(truths / f"{n:03d}.nrrd") for n in range(len(breath))]
    reference = arguments.reference
    judge = Judge(breath, truth, reference)
    still = read_volume(folder / "000.nrrd")
    rows = [judge.row("as they lie", lambda n: DisplacementField.zero(still.grid), [0.0], [0.0])]
    for model in arguments.model:
        for name, options in ways(model, arguments.resolution, arguments.refine):
            if arguments.only and not any(word in name for word in arguments.only):
                continue
            out = place / f"{Path(model).stem}-{identity(model)}-{arguments.resolution}" / name.replace(" ", "-")
            result = register_sequence(
                open_frames(folder), out, replace(options, reference=reference), labels=truth[reference]
            )
            done = [record for record in result.records if record.status != "reference"]
            note = ", ".join(f"drift at frame {d.frame} {d.mean_mm:.2f} mm" for d in result.drift)
            title = name if len(arguments.model) == 1 else f"{result.model}: {name}"
            rows.append(
                judge.row(
                    title,
                    result.store.field,
                    [record.folded_percent for record in done],
                    [record.seconds for record in done],
                    note,
                )
            )
            print(rows[-1], flush=True)
    for preset in PRESETS if arguments.elastix else ():
        rows.append(elastix_row(arguments, preset, folder, judge))
        print(rows[-1], flush=True)
    return rows


@dataclass
class Judge:
    """Compares fields, whole maps from a frame to the reference, with the truth."""

    breath: Breathing
    truth: Sequence[Image]
    reference: int

    def row(
        self,
        name: str,
        field_of: Callable[[int], DisplacementField],
        folded: Sequence[float],
        seconds: Sequence[float],
        note: str = "",
        frames: Sequence[int] = (),
    ) -> Row:
        frames = frames or [n for n in range(len(self.breath)) if n != self.reference]
        carrier = LabelCarrier(self.truth[self.reference])
        dice, errors = [], []
        for n in frames:
            field = field_of(n)
            dice.append(self._dice(carrier.carried(field, self.truth[n].grid).array, self.truth[n].array))
            points, goals = self.breath.landmarks(n), self.breath.landmarks(self.reference)
            errors.append(np.linalg.norm(field.map_points(points) - goals, axis=-1))
        together = np.concatenate(errors)
        return Row(
            name,
            mean(dice),
            float(together.mean()),
            float(np.quantile(together, 0.95)),
            max(folded),
            median(seconds),
            note,
        )

    @staticmethod
    def _dice(found: np.ndarray, truth: np.ndarray) -> float:
        """Mean over the organs."""
        values, counts = np.unique(truth, return_counts=True)
        organs = [value for value, count in zip(values, counts, strict=True) if value and count >= _FEWEST_VOXELS]
        return mean(
            2 * int(((found == v) & (truth == v)).sum()) / (int((found == v).sum()) + int((truth == v).sum()))
            for v in organs
        )


def elastix_row(arguments: argparse.Namespace, preset: str, folder: Path, judge: Judge) -> Row:
    """On every ``--elastix-every``-th frame."""
    frames = [n for n in range(len(judge.breath)) if n != arguments.reference][:: arguments.elastix_every]
    paths = {n: folder / f"{n:03d}.nrrd" for n in frames}
    moving = folder / f"{arguments.reference:03d}.nrrd"
    results = elastix(arguments.elastix, preset, moving, paths, folder.parent / "elastix")
    fields = {each["frame"]: read_field(each["field"]) for each in results}
    folded = [100 * float(np.mean(field.jacobian_determinant().array <= 0)) for field in fields.values()]
    note = f"{PRESETS[preset]}; frames {', '.join(map(str, frames))} only"
    seconds = [each["seconds"] for each in results]
    return judge.row(f"elastix, {preset}", fields.__getitem__, folded, seconds, note, frames)


def ultrasound_rows(arguments: argparse.Namespace) -> list[str]:
    """The shared 4-D ultrasound: similarity and folding, for there is no truth but in the segmented frame."""
    lines = []
    labels = read_labels(SHARED_DATA / "fourD" / "greedy_seg05.nii.gz")
    for model in arguments.model:
        for name, options in ways(model, "full", arguments.refine):
            if arguments.only and not any(word in name for word in arguments.only):
                continue
            frames = open_frames(SHARED_DATA / "fourD" / "greedy_img4d.nii.gz")
            out = arguments.work / f"us-{Path(model).stem}-{identity(model)}" / name.replace(" ", "-")
            result = register_sequence(frames, out, replace(options, reference=4), labels=labels)
            frames.close()
            done = [record for record in result.records if record.status != "reference"]
            valve = [sum(s.volume_ml for s in record.structures) for record in result.records]
            title = name if len(arguments.model) == 1 else f"{result.model}: {name}"
            lines.append(
                f"| {title} | {median(r.similarity_before for r in done):.3f} | "
                f"{median(r.similarity_after for r in done):.3f} | {max(r.folded_percent for r in done):.2g} | "
                f"{min(valve):.1f} to {max(valve):.1f} | {median(r.seconds for r in done):.2f} |"
            )
            print(lines[-1], flush=True)
    return lines


def page(arguments: argparse.Namespace, rows: list[Row], ultrasound: list[str]) -> str:
    """Both tables as Markdown."""
    return "\n".join(
        [
            f"Breathing trunk CT: {arguments.frames} frames of 122x101x112 voxels of 3 mm, noise of 10 HU, reference "
            f"frame {arguments.reference}, model {', '.join(arguments.model)}, {arguments.resolution} resolution. "
            "Dice: mean over the organs; landmark errors over 200 textured points a frame; folding: the worst frame; "
            "seconds: median of a frame, its files written. " + str(Machine.this_one(os.cpu_count() or 1)),
            "",
            "| | organ Dice | landmark error mm, mean | 95 % | folding % | s a frame | |",
            "|---|---|---|---|---|---|---|",
            *map(str, rows),
            "",
            "4-D valve ultrasound (7 frames of 62x53x67 voxels), the segmentation of frame 4 carried to all, full "
            "resolution. There is no truth in the other frames: similarity (correlation), median of the frames.",
            "",
            "| | before | after | folding % | volume of the valve, ml | s a frame |",
            "|---|---|---|---|---|---|",
            *ultrasound,
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / "bench-output" / "sequences")
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--reference", type=int, default=2, help="of the breathing sequence; 0 is breathed out")
    parser.add_argument("--model", nargs="+", default=[DEFAULT_MODEL])
    parser.add_argument("--resolution", default="half")
    parser.add_argument("--refine", type=float, default=0.0, metavar="SECONDS", help="add a row with refinement")
    parser.add_argument("--only", nargs="+", help="rows whose name holds one of these words")
    parser.add_argument("--elastix", metavar="PYTHON", help="the interpreter that has itk-elastix")
    parser.add_argument("--elastix-every", type=int, default=4)
    parser.add_argument("--write", action="store_true", help="put the tables into --page")
    parser.add_argument("--page", type=Path, default=PAGE, help="(default: Docs/sequences.md)")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    text = page(arguments, breathing_rows(arguments), ultrasound_rows(arguments))
    print(text)
    if arguments.write:
        put_between(arguments.page, MARK, text)


if __name__ == "__main__":
    main()
