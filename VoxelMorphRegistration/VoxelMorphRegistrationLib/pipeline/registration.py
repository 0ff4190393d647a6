"""The main job: two volumes to a deformation."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import numpy as np

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.network.catalogue import DEFAULT_MODEL, Catalogue
from VoxelMorphRegistrationLib.network.intensity import prepare_pair
from VoxelMorphRegistrationLib.pipeline.input_check import (
    check_overlap,
    check_volume,
    masked,
    misfits,
    on_grid_of,
)
from VoxelMorphRegistrationLib.pipeline.model_grid import RESOLUTIONS, plan_model_grid
from VoxelMorphRegistrationLib.pipeline.quality.quick import folded_percent, similarity
from VoxelMorphRegistrationLib.pipeline.refinement import RefinementReport, refine
from VoxelMorphRegistrationLib.pipeline.steps import (
    intensity_preparation,
    on_network_grid,
    predict,
    to_space,
    warm_engine,
)
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Deformation, Image, pre_align
from VoxelMorphRegistrationLib.spatial.pre_alignment import KINDS, Kind


@dataclass(frozen=True)
class RegistrationOptions:
    """What a user may choose. Raises InputError for a choice that does not exist."""

    model: str = DEFAULT_MODEL
    """Name in the catalogue, or the path of a VxmDense ``.h5`` file."""
    engine: str = "auto"
    """"auto" (the fastest installed), "openvino" or "tensorflow"."""
    pre_align: Kind = "affine"
    resolution: str = "full"
    """"full", "half" or "quarter" of the model's own voxel size."""
    intensity: str = "card"
    """"card": prepared as the model's card says; "none": the values as they are."""
    inverse: bool = False
    """Also compute the moving to fixed field."""
    refine_seconds: float = 0.0
    """How long to refine the network's field on this very pair (`pipeline.refinement`); 0 for not at all."""
    threads: int | None = None
    """Processor cores for the network; None for all of them."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.refine_seconds) and self.refine_seconds >= 0):
            raise InputError(f"Refinement takes a number of seconds, 0 for none, not {self.refine_seconds}.")
        for name, choices in (
            ("pre_align", KINDS),
            ("resolution", tuple(RESOLUTIONS)),
            ("intensity", ("card", "none")),
        ):
            if getattr(self, name) not in choices:
                raise InputError(
                    f"Unknown {name.replace('_', '-')} '{getattr(self, name)}'; choose one of {', '.join(choices)}."
                )


@dataclass(frozen=True, eq=False)
class RegistrationResult:
    """What a registration found, and how good it looks."""

    deformation: Deformation
    moved: Image
    """The moving image on the fixed grid, linear, float32."""
    similarity_before: float
    """Normalised cross-correlation inside the fixed image's content, of the volumes as they lie."""
    similarity_after: float
    folded_percent: float
    """Share of the fixed image's content where the Jacobian determinant is 0 or less."""
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    """Wall time of each step, in order."""
    model: str
    engine: str
    plan: str
    """The grid on which the network worked, in words."""
    refinement: RefinementReport | None = None
    """What the refinement gained; None where it was not asked for."""

    def summary(self) -> str:
        """One line for a status bar."""
        refined = f" Refined: {self.refinement}." if self.refinement else ""
        return (
            f"Similarity {self.similarity_before:.3f} before, {self.similarity_after:.3f} after; "
            f"{self.folded_percent:.2g} % folded; {sum(self.seconds.values()):.1f} s "
            f"({self.model}, {self.engine}).{refined}"
        )


def register(
    fixed: Image,
    moving: Image,
    options: RegistrationOptions | None = None,
    *,
    fixed_mask: Image | None = None,
    moving_mask: Image | None = None,
    catalogue: Catalogue | None = None,
    progress: Progress | None = None,
) -> RegistrationResult:
    """Register ``moving`` to ``fixed``: find where each fixed point lies in the moving image.

    Masks (non-zero inside, on any grid) say which part of an image counts; the rest is blanked, so that a model
    that knows no skull sees none. ``progress`` hears of each step and may cancel between them.
    Raises a RegistrationError of one clear sentence; CancelledError when cancelled.
    """
    options = options or RegistrationOptions()
    whole = say = progress or Progress()
    if options.refine_seconds:  # then that is what takes long
        say = whole.part(0.0, 0.4)
    clock = _Clock()

    say("Checking the volumes", 0.0)
    check_volume(fixed, "fixed")
    check_volume(moving, "moving")
    fixed_mask = on_grid_of(fixed, fixed_mask, "fixed")
    moving_mask = on_grid_of(moving, moving_mask, "moving")
    say("Loading the model", 0.02)
    model = (catalogue or Catalogue()).find(options.model, progress=say.part(0.02, 0.1))
    engine = warm_engine(options.engine, model.weights_path, options.threads)
    warnings = misfits(fixed, moving, model.card, options.resolution, fixed_mask, moving_mask)
    clock.lap("check and load")

    say(f"Pre-alignment ({options.pre_align})", 0.1)
    one_contrast = True if model.card.intensity.match != "contrast" else None  # None: it finds out
    affine = pre_align(
        fixed,
        moving,
        options.pre_align,
        same_contrast=one_contrast,
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
    )
    if affine.kind != options.pre_align:
        warnings.append(
            f"The {options.pre_align} pre-alignment made the volumes less alike, so '{affine.kind}' was kept; "
            "check that both show the same anatomy."
        )
    clock.lap("pre-alignment")

    say("Preparing the intensities", 0.3)
    plan = plan_model_grid(fixed, model.card, options.resolution, fixed_mask)
    fixed_input = on_network_grid(masked(fixed, fixed_mask), plan.grid, np.eye(4))
    moving_input = on_network_grid(masked(moving, moving_mask), plan.grid, affine.matrix)
    check_overlap(moving_input, fixed, moving)
    fixed_input, moving_input = prepare_pair(
        fixed_input, moving_input, intensity_preparation(model.card, options.intensity)
    )
    clock.lap("preparation")

    say(f"Network ({engine.name}, {' x '.join(map(str, plan.grid.shape))} voxels)", 0.35)
    prediction = predict(engine, model.card, moving_input, fixed_input)
    del fixed_input, moving_input
    clock.lap("network")

    say("Integrating the field", 0.75)
    deformation = to_space(prediction, plan.grid, affine.matrix, options.inverse)
    clock.lap("integration")

    refinement = None
    if options.refine_seconds:
        deformation, refinement = refine(
            fixed,
            moving,
            deformation,
            options.refine_seconds,
            fixed_mask=fixed_mask,
            moving_mask=moving_mask,
            progress=whole.part(0.31, 0.85),
        )
        warnings += refinement.warnings()
        clock.lap("refinement")

    say = whole
    say("Moving the volume and checking the result", 0.85)
    moved = deformation.warp(moving, fixed.grid, outside=float(moving.array.min()))
    before, after = similarity(fixed, moving, moved, fixed_mask)
    folded = folded_percent(deformation.displacement, fixed, fixed_mask)
    warnings += _doubts(before, after, folded)
    clock.lap("check")
    say("Done", 1.0)
    return RegistrationResult(
        deformation=deformation,
        moved=moved,
        similarity_before=before,
        similarity_after=after,
        folded_percent=folded,
        warnings=tuple(warnings),
        seconds=clock.seconds,
        model=model.card.name,
        engine=engine.name,
        plan=plan.description,
        refinement=refinement,
    )


@dataclass
class _Clock:
    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def lap(self, step: str) -> None:
        now = time.perf_counter()
        self.seconds[step], self._since = now - self._since, now


def _doubts(before: float, after: float, folded: float) -> list[str]:
    doubts = []
    if after < before - 0.01:  # less is interpolation, as where a volume is registered to itself
        doubts.append(
            f"The volumes are less alike after the registration ({after:.3f}) than before ({before:.3f}): the model "
            "probably does not suit these images (contrast, skull, field of view); do not use this result."
        )
    if folded > 0.1:
        doubts.append(
            f"{folded:.1f} % of the volume is folded, so points and surfaces there cannot be mapped back; "
            "the model probably does not suit these images."
        )
    return doubts
