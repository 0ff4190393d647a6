"""Run by the peers' Python (itk-elastix): ``register FIXED MOVING FOLDER`` or ``apply FIXED MOVING TRANSFORM OUT``."""

import sys

import itk

command, fixed, moving, *rest = sys.argv[1:]
fixed_image, moving_image = itk.imread(fixed, itk.F), itk.imread(moving, itk.F)
if command == "register":
    parameters = itk.ParameterObject.New()
    bspline = parameters.GetDefaultParameterMap("bspline", 2, 16.0)
    bspline["MaximumNumberOfIterations"] = ["80"]
    bspline["Metric"] = ["AdvancedMeanSquares", "TransformBendingEnergyPenalty"]
    parameters.AddParameterMap(bspline)
    moved, result = itk.elastix_registration_method(
        fixed_image, moving_image, parameter_object=parameters, log_to_console=False
    )
    itk.imwrite(moved, f"{rest[0]}/moved.nii")
    field = itk.transformix_deformation_field(moving_image, result)
    itk.imwrite(field, f"{rest[0]}/deformationField.mha")
    itk.imwrite(field, f"{rest[0]}/deformationField.nii.gz")
else:
    transform = itk.transformread(rest[0])[0]
    interpolator = itk.LinearInterpolateImageFunction.New(moving_image)
    moved = itk.resample_image_filter(
        moving_image,
        transform=transform,
        interpolator=interpolator,
        use_reference_image=True,
        reference_image=fixed_image,
    )
    itk.imwrite(moved, rest[1])
