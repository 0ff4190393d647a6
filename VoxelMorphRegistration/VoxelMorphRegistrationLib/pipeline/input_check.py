"""What is wrong with, or unusual about, the volumes a user brings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.network.card import ANY_MODALITY, ModelCard
from VoxelMorphRegistrationLib.pipeline.model_grid import RESOLUTIONS
from VoxelMorphRegistrationLib.spatial import Image
from VoxelMorphRegistrationLib.spatial import simpleitk_bridge as bridge

_SMALLEST_SHAPE = 8
_MUCH_MORE = 1.5  # times the volume: a head's box is more than twice that of its brain


def check_volume(image: Image, role: str) -> None:
    """Raises InputError for a volume that no registration can use; ``role`` is "fixed" or "moving"."""
    if min(image.grid.shape) < _SMALLEST_SHAPE:
        raise InputError(
            f"The {role} volume {image.name} has {' x '.join(map(str, image.grid.shape))} voxels; the network works on "
            f"3-D volumes of at least {_SMALLEST_SHAPE} voxels along each axis."
        )
    if not np.issubdtype(image.array.dtype, np.number) or np.iscomplexobj(image.array):
        raise InputError(f"The {role} volume {image.name} does not hold real numbers; convert it to a scalar volume.")
    if np.issubdtype(image.array.dtype, np.floating) and not np.isfinite(image.array).all():
        count = int(image.array.size - np.isfinite(image.array).sum())
        raise InputError(
            f"The {role} volume {image.name} holds {count} voxels that are not finite (NaN or infinity); "
            "replace them, for example by the background value."
        )
    if image.array.min() == image.array.max():
        raise InputError(
            f"The {role} volume {image.name} holds one value only ({image.array.flat[0]}), "
            "so there is nothing to register in it."
        )


def on_grid_of(image: Image, mask: Image | None, role: str) -> Image | None:
    """The mask on the image's grid as 0 and 1. Raises InputError where nothing of the image is inside it."""
    if mask is None:
        return None
    inside = mask.array != 0
    if not mask.grid.is_same(image.grid):
        moved = bridge.resample(
            bridge.scalar_to_sitk(inside, mask.grid), image.grid, interpolator=sitk.sitkNearestNeighbor
        )
        inside = bridge.scalar_from_sitk(moved) != 0
    if not inside.any():
        raise InputError(f"The {role} mask {mask.name} is empty inside the {role} volume {image.name}.")
    return Image(inside.astype(np.uint8), image.grid, mask.name)


def masked(image: Image, mask: Image | None) -> Image:
    """The image with everything outside the mask set to its minimum."""
    if mask is None:
        return image
    return image.with_array(np.where(mask.array > 0, image.array, image.array.min()))


def check_overlap(moving_on_network_grid: npt.NDArray[np.float32], fixed: Image, moving: Image) -> None:
    """Raises InputError where nothing of the moving image lies on the fixed image's content."""
    if moving_on_network_grid.min() == moving_on_network_grid.max():
        raise InputError(
            f"{moving.name} and {fixed.name} do not overlap in space; choose a pre-alignment "
            "(centre, rigid or affine), or check the volumes' transforms."
        )


def misfits(
    fixed: Image,
    moving: Image,
    card: ModelCard,
    resolution: str,
    fixed_mask: Image | None = None,
    moving_mask: Image | None = None,
) -> list[str]:
    """Sentences about what in the volumes does not fit the model's card, for the user, before the run."""
    found: list[str] = []
    for role, image, mask in (("fixed", fixed, fixed_mask), ("moving", moving, moving_mask)):
        found += _misfits_of(f"The {role} volume {image.name}", image, mask, card, resolution)
    return found + _one_mask_of_two(fixed, moving, fixed_mask, moving_mask)


def _one_mask_of_two(fixed: Image, moving: Image, fixed_mask: Image | None, moving_mask: Image | None) -> list[str]:
    """A sentence where one mask hides much that the volume without a mask still shows, such as the head around a brain.

    Not where that volume shows no more than the masked part, as one whose skull was removed already.
    """
    both = (("fixed", fixed, fixed_mask), ("moving", moving, moving_mask))
    (one, whole, mask), (other, unmasked, none) = sorted(both, key=lambda role: role[2] is None)
    if mask is None or none is not None:
        return []
    if min(_content_mm3(whole), _content_mm3(unmasked)) < _MUCH_MORE * _content_mm3(mask):
        return []
    return [
        f"Only the {one} volume has a mask: the {other} volume {unmasked.name} still shows what is hidden there; give "
        "masks of the same anatomy for both, or for none."
    ]


def _content_mm3(image: Image) -> float:
    """The volume of the box around what is above the minimum."""
    start, stop = image.content_window()
    return float(np.prod((stop - start) * image.grid.spacing))


def _misfits_of(who: str, image: Image, mask: Image | None, card: ModelCard, resolution: str) -> list[str]:
    found = []
    lattice = image.grid.reoriented(card.orientation)
    trained_on = np.full(3, lattice.spacing.min()) if card.any_spacing else np.array(card.spacing_mm)
    scale = 1 if card.any_spacing else RESOLUTIONS[resolution]
    if (lattice.spacing / (trained_on * scale)).max() > 2.0:
        found.append(
            f"{who} has voxels of {_mm(lattice.spacing)}, much coarser than the {_mm(trained_on)} "
            f"that {card.title} was trained on; expect less detail across the thick slices."
        )
    if card.modality not in ("CT", ANY_MODALITY) and image.array.min() < -200:
        found.append(
            f"{who} has values down to {float(image.array.min()):g}, as a CT has, but {card.title} was trained on "
            f"{card.modality or 'other images'}; choose another model."
        )
    start, stop = (image if mask is None else mask).content_window()
    content = image.grid.window(start, tuple(int(n) for n in stop - start))  # type: ignore[arg-type]
    extent = content.reoriented(card.orientation).extent_mm
    if card.largest_extent_mm and np.any(extent > np.array(card.largest_extent_mm)):
        way_out = "give a brain mask" if card.skull_stripped else "crop it or give a mask"
        found.append(
            f"{who} shows {_mm(extent)} of anatomy ({card.orientation} axes), more than the "
            f"{_mm(np.array(card.largest_extent_mm))} that {card.title} has seen"
            + (" (a head with its skull?)" if card.skull_stripped else "")
            + f"; {way_out}."
        )
    elif card.smallest_extent_mm and np.any(extent < np.array(card.smallest_extent_mm)):
        found.append(
            f"{who} shows only {_mm(extent)} of anatomy ({card.orientation} axes), less than the "
            f"{_mm(np.array(card.smallest_extent_mm))} that {card.title} expects; expect a poor result."
        )
    elif card.skull_stripped and mask is None:
        background = float(np.mean(image.array == image.array.min()))
        if background < 0.2:
            found.append(
                f"{who} has hardly any empty background ({100 * background:.0f} %), so its skull is probably not "
                f"removed, but {card.title} was trained without skulls; give a brain mask."
            )
    return found


def _mm(lengths: npt.NDArray[np.floating]) -> str:
    return " x ".join(f"{length:.3g}" for length in lengths) + " mm"
