"""Run by a Python that has antspyx: ``FIXED MOVING FOLDER FILE ...``.

Registrations leave warped.nii, the warp with its affine, both joined into a field in every format, and ANTs' own
composite in the folder. The files are applied: FILE.ants.nii.
"""

import sys

import ants

fixed, moving, folder, *files = sys.argv[1:]
fixed_image, moving_image = ants.image_read(fixed), ants.image_read(moving)
settings = {
    "type_of_transform": "SyN",
    "aff_metric": "meansquares",
    "syn_metric": "meansquares",
    "reg_iterations": (30, 10, 0),
    "random_seed": 1,
}
result = ants.registration(fixed_image, moving_image, outprefix=f"{folder}/ants_", **settings)
ants.image_write(result["warpedmovout"], f"{folder}/warped.nii")
joined = ants.apply_transforms(fixed_image, moving_image, result["fwdtransforms"], compose=f"{folder}/ants_joined")
field = ants.image_read(joined)
for suffix in (".nii.gz", ".nrrd", ".mha"):
    ants.image_write(field, f"{folder}/field{suffix}")
ants.registration(
    fixed_image, moving_image, outprefix=f"{folder}/ants_whole", write_composite_transform=True, **settings
)
for file in files:
    moved = ants.apply_transforms(fixed_image, moving_image, [file], interpolator="linear")
    ants.image_write(moved, f"{file}.ants.nii")
