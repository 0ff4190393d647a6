"""One frame's registration, with everything that all frames share made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from VoxelMorphRegistrationLib.network.catalogue import Catalogue
from VoxelMorphRegistrationLib.network.engines import Prediction
from VoxelMorphRegistrationLib.network.intensity import prepare_pair
from VoxelMorphRegistrationLib.pipeline.input_check import check_overlap, check_volume, misfits
from VoxelMorphRegistrationLib.pipeline.model_grid import plan_model_grid
from VoxelMorphRegistrationLib.pipeline.refinement import refine
from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions
from VoxelMorphRegistrationLib.pipeline.sequence.options import Bias
from VoxelMorphRegistrationLib.pipeline.steps import (
    intensity_preparation,
    on_network_grid,
    predict,
    to_space,
    warm_engine,
)
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Deformation, DisplacementField, Grid, Image, pre_align
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge
from VoxelMorphRegistrationLib.spatial.grid import Floats


@dataclass(frozen=True, eq=False)
class PreparedFrame:
    """A frame and its values on the network's grid."""

    image: Image
    values: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Solved:
    """The map from a fixed to a moving frame, and what the user should know about it."""

    deformation: Deformation
    warnings: tuple[str, ...] = ()


class FrameSolver:
    """Registers frames of one sequence on one network grid, which covers the reference's content.

    All fields thus lie on one lattice: they compose without growing, and the network is compiled once.
    """

    def __init__(
        self,
        reference: Image,
        options: RegistrationOptions,
        bias: Bias = "reference",
        catalogue: Catalogue | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Loads the model. ``bias``: see SequenceOptions.

        Raises a RegistrationError where the model or the reference cannot be used.
        """
        check_volume(reference, "reference")
        model = (catalogue or Catalogue()).find(options.model, progress=progress)
        self.card, self.weights_path = model.card, model.weights_path
        self.engine = warm_engine(options.engine, model.weights_path, options.threads)
        plan = plan_model_grid(reference, model.card, options.resolution)
        self.grid, self.plan = plan.grid, plan.description
        self.warnings = [
            sentence
            for sentence in misfits(reference, reference, model.card, options.resolution)
            if "fixed" in sentence
        ]
        self._options, self._bias = options, bias
        self._preparation = intensity_preparation(model.card, options.intensity)
        self.reference = self.prepare(reference)

    @cached_property
    def field_grid(self) -> Grid:
        """Where this model gives its fields; the reference's own voxels where they are refined."""
        if self._options.refine_seconds:
            return self.reference.image.grid
        shape = self._at_rest.vectors.shape
        return self.grid.with_shape((shape[0], shape[1], shape[2]))

    @cached_property
    def _at_rest(self) -> Prediction:
        """What the network answers for the reference with itself: what it says where nothing moves."""
        values = self.reference.values
        return predict(self.engine, self.card, *prepare_pair(values, values, self._preparation)[::-1])

    def prepare(self, image: Image) -> PreparedFrame:
        """Check a frame and bring it to the network's grid; may run in another thread. Raises InputError."""
        check_volume(image, "frame's")
        return PreparedFrame(image, on_network_grid(image, self.grid, np.eye(4)))

    def solve(
        self,
        fixed: PreparedFrame,
        moving: PreparedFrame,
        *,
        start: Deformation | None = None,
        aligned: Floats | None = None,
    ) -> Solved:
        """The map from ``fixed`` to ``moving``; see ask()."""
        return self.ask(fixed, moving, start=start, aligned=aligned)()

    def ask(
        self,
        fixed: PreparedFrame,
        moving: PreparedFrame,
        *,
        start: Deformation | None = None,
        aligned: Floats | None = None,
    ) -> Callable[[], Solved]:
        """The network's answer for a pair, and what makes the map from ``fixed`` to ``moving`` of it when called.

        That may be called in another thread, while the network is asked about the next pair.

        With a ``start`` the network sees the moving frame through it and finds the rest, which is put before it:
        phi(x) = start(x + w(x)). Without one, the moving frame is seen through ``aligned`` (4x4, RAS, fixed to moving),
        or through the pre-alignment of the options. Raises a RegistrationError where both have nothing in common.
        """
        options = self._options
        if start is None and aligned is None:
            aligned = pre_align(fixed.image, moving.image, options.pre_align).matrix
        if start is not None:
            seen = self.seen(moving.image, start)
        elif aligned is None or np.allclose(aligned, np.eye(4)):
            seen = moving.values
        else:
            seen = on_network_grid(moving.image, self.grid, aligned)
        check_overlap(seen, fixed.image, moving.image)
        check_overlap(fixed.values, moving.image, fixed.image)
        prediction = self._predicted(*prepare_pair(fixed.values, seen, self._preparation))

        def solved() -> Solved:
            if start is None:
                found = to_space(prediction, self.grid, np.eye(4) if aligned is None else aligned, False)
            else:
                found = composed(to_space(prediction, self.grid, np.eye(4), False), start)
            if not options.refine_seconds:
                return Solved(found)
            refined, report = refine(fixed.image, moving.image, found, options.refine_seconds)
            return Solved(refined, tuple(report.warnings()))

        return solved

    def _predicted(self, fixed: npt.NDArray[np.float32], moving: npt.NDArray[np.float32]) -> Prediction:
        """The network's answer without the network's own bias: two images that are the same give no field at all."""
        answer = predict(self.engine, self.card, moving, fixed)
        if self._bias == "reference":
            return replace(answer, vectors=answer.vectors - self._at_rest.vectors)
        if self._bias == "swapped":
            swapped = predict(self.engine, self.card, fixed, moving)
            return replace(answer, vectors=(answer.vectors - swapped.vectors) * np.float32(0.5))
        return answer

    def seen(self, image: Image, through: Deformation) -> npt.NDArray[np.float32]:
        """``image(phi(x))`` on the network's grid; its own minimum outside."""
        seen = bridge.resample(
            bridge.scalar_to_sitk(image.array, image.grid),
            self.grid,
            through.transform(),
            outside=float(image.array.min()),
            pixel_type=bridge.FLOAT32,
        )
        return bridge.scalar_from_sitk(seen)


def composed(first: Deformation, then: Deformation) -> Deformation:
    """x -> then(first(x)), with the affine parts joined and kept apart from the field.

    For first = A(x + u) and then = B(y + v): B(A(x + u) + v) = BA(x + w) with w = u + A^-1 v(A(x + u)).
    """
    linear_back = np.linalg.inv(first.affine[:3, :3])
    grid = first.displacement.grid
    if np.allclose(first.affine, np.eye(4)):
        field = first.displacement.then(then.displacement)
    else:
        index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
        landed = first.map_points(grid.to_ras(index))
        added = then.displacement.at(landed) @ linear_back.T
        field = DisplacementField(first.displacement.vectors + added.astype(np.float32), grid)
    return Deformation(then.affine @ first.affine, field)
