"""Run by the peers' Python (antspyx): ``register FIXED MOVING PREFIX`` or ``apply FIXED MOVING TRANSFORM OUT``."""

import sys

import ants

command, fixed, moving, *rest = sys.argv[1:]
fixed_image, moving_image = ants.image_read(fixed), ants.image_read(moving)
if command == "register":
    result = ants.registration(
        fixed_image,
        moving_image,
        type_of_transform="SyN",
        outprefix=rest[0],
        aff_metric="meansquares",
        syn_metric="meansquares",
        reg_iterations=(30, 10, 0),
        random_seed=1,
    )
    ants.image_write(result["warpedmovout"], rest[0] + "warped.nii")
    ants.apply_transforms(fixed_image, moving_image, result["fwdtransforms"], compose=rest[0] + "composite")
else:
    moved = ants.apply_transforms(fixed_image, moving_image, [rest[0]], interpolator="linear")
    ants.image_write(moved, rest[1])
