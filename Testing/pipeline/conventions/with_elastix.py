"""Run by a Python that has itk-elastix: ``FIXED MOVING FOLDER FILE ...``.

A registration leaves moved.nii and its field as images and as ITK transforms in the folder. The files are applied,
transforms by ITK and images of fields by transformix: FILE.elastix.nii.
"""

import sys

import itk

fixed, moving, folder, *files = sys.argv[1:]
fixed_image, moving_image = itk.imread(fixed, itk.F), itk.imread(moving, itk.F)


def resampled(transform):
    return itk.resample_image_filter(
        moving_image,
        transform=transform,
        interpolator=itk.LinearInterpolateImageFunction.New(moving_image),
        use_reference_image=True,
        reference_image=fixed_image,
    )


def transformed(field):
    """By transformix, whose deformation fields are a transform like any other."""

    def texts(numbers):
        return [str(number) for number in numbers]

    direction = itk.array_from_matrix(fixed_image.GetDirection())
    parameters = itk.ParameterObject.New()
    parameters.AddParameterMap(
        {
            "Transform": ["DeformationFieldTransform"],
            "DeformationFieldFileName": [field],
            "DeformationFieldInterpolationOrder": ["1"],
            "NumberOfParameters": ["0"],
            "InitialTransformParameterFileName": ["NoInitialTransform"],
            "HowToCombineTransforms": ["Compose"],
            "FixedImageDimension": ["3"],
            "MovingImageDimension": ["3"],
            "FixedInternalImagePixelType": ["float"],
            "MovingInternalImagePixelType": ["float"],
            "Size": texts(fixed_image.GetLargestPossibleRegion().GetSize()),
            "Index": ["0", "0", "0"],
            "Spacing": texts(fixed_image.GetSpacing()),
            "Origin": texts(fixed_image.GetOrigin()),
            "Direction": texts(direction.T.ravel()),
            "UseDirectionCosines": ["true"],
            "Resampler": ["DefaultResampler"],
            "ResampleInterpolator": ["FinalLinearInterpolator"],
            "DefaultPixelValue": ["0"],
            "ResultImageFormat": ["mha"],
            "ResultImagePixelType": ["float"],
        }
    )
    return itk.transformix_filter(moving_image, parameters, log_to_console=False)


parameters = itk.ParameterObject.New()
bspline = parameters.GetDefaultParameterMap("bspline", 2, 16.0)
bspline["MaximumNumberOfIterations"] = ["60"]
bspline["Metric"] = ["AdvancedMeanSquares", "TransformBendingEnergyPenalty"]
bspline["FinalBSplineInterpolationOrder"] = ["1"]  # linear, as ours
parameters.AddParameterMap(bspline)
moved, result = itk.elastix_registration_method(
    fixed_image, moving_image, parameter_object=parameters, log_to_console=False
)
itk.imwrite(moved, f"{folder}/moved.nii")
field = itk.transformix_deformation_field(moving_image, result)
for suffix in (".mha", ".nii.gz", ".nrrd"):
    itk.imwrite(field, f"{folder}/deformationField{suffix}")
transform = itk.DisplacementFieldTransform[itk.F, 3].New()
transform.SetDisplacementField(field)
for suffix in (".h5", ".tfm"):
    itk.transformwrite([transform], f"{folder}/transform{suffix}")
for file in files:
    is_transform = file.endswith((".h5", ".tfm"))
    moved = resampled(itk.transformread(file)[0]) if is_transform else transformed(file)
    itk.imwrite(moved, f"{folder}/{file.rpartition('/')[2]}.elastix.nii")
