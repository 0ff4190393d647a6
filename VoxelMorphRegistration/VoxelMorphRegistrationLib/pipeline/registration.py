"""The main job: two volumes to a deformation."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import numpy as np

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.network.card import ModelCard
from VoxelMorphRegistrationLib.network.catalogue import DEFAULT_MODEL, Catalogue
from VoxelMorphRegistrationLib.network.engines import Engine
from VoxelMorphRegistrationLib.network.intensity import prepare_pair
from VoxelMorphRegistrationLib.network.packages import engine_title
from VoxelMorphRegistrationLib.pipeline.input_check import (
    check_overlap,
    check_volume,
    masked,
    misfits,
    on_grid_of,
)
from VoxelMorphRegistrationLib.pipeline.model_grid import RESOLUTIONS, plan_model_grid
from VoxelMorphRegistrationLib.pipeline.passes import one_after_the_other, passes
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
from VoxelMorphRegistrationLib.spatial import Deformation, Grid, Image, pre_align
from VoxelMorphRegistrationLib.spatial.grid import Floats
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
    model_title: str = ""
    """What people call the model; "" for its name."""

    def summary(self) -> str:
        """One line for a status bar."""
        refined = f" Refined: {self.refinement}." if self.refinement else ""
        return (
            f"Similarity {self.similarity_before:.3f} before, {self.similarity_after:.3f} after; "
            f"{self.folded_percent:.2g} % folded; {sum(self.seconds.values()):.1f} s "
            f"({self.model_title or self.model}, {engine_title(self.engine)}).{refined}"
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

    search = _Search(
        masked(fixed, fixed_mask), masked(moving, moving_mask), fixed_mask, affine.matrix, model.card, engine, options
    )
    deformation, plan = search.run(say.part(0.3, 0.85), clock)

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
        plan=plan,
        refinement=refinement,
        model_title=model.card.title,
    )


@dataclass(frozen=True, eq=False)
class _Search:
    """What the network's passes over a pair have in common. The images are blanked outside their masks."""

    fixed: Image
    moving: Image
    fixed_mask: Image | None
    affine: Floats
    card: ModelCard
    engine: Engine
    options: RegistrationOptions

    def run(self, progress: Progress, clock: _Clock) -> tuple[Deformation, str]:
        """What all passes find together, and on which grids, in words."""
        found, descriptions = None, []
        planned = passes(self.card, self.options.resolution)
        for number, each in enumerate(planned):
            say = progress.part(number / len(planned), (number + 1) / len(planned))
            plan = plan_model_grid(self.fixed, self.card, each.resolution, self.fixed_mask)
            rest = self._pass(plan.grid, each.both_ways, found, say, clock)
            found = rest if found is None else one_after_the_other(found, rest)
            clock.lap("integration")
            descriptions.append(plan.description)
        assert found is not None, "there is always a pass"
        return found, ", then ".join(descriptions)

    def _pass(
        self, grid: Grid, both_ways: bool, found: Deformation | None, say: Progress, clock: _Clock
    ) -> Deformation:
        """What the network says to the pair as it lies after ``found``, or after the pre-alignment."""
        say("Preparing the intensities", 0.0)
        fixed = on_network_grid(self.fixed, grid, np.eye(4))
        moving = on_network_grid(self.moving, grid, self.affine if found is None else found)
        check_overlap(moving, self.fixed, self.moving)
        fixed, moving = prepare_pair(fixed, moving, intensity_preparation(self.card, self.options.intensity))
        clock.lap("preparation")
        say(f"Network ({self.engine.name}, {' x '.join(map(str, grid.shape))} voxels)", 0.1)
        prediction = predict(self.engine, self.card, moving, fixed, both_ways=both_ways)
        clock.lap("network")
        say("Integrating the field", 0.8)
        return to_space(prediction, grid, self.affine, self.options.inverse)


@dataclass
class _Clock:
    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def lap(self, step: str) -> None:
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._since
        self._since = now


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
