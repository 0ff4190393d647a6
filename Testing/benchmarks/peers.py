"""The peers with their usual settings; run by an interpreter that has them: ``python -m benchmarks.peers``.

Thread counts are left to ``ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS``: itk-elastix 0.25 crashes in its B-spline stage
when SetNumberOfThreads is called.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.job import FIELD, MOVED, Found, Job, Order, Prepare, Report, seconds_since_start, versions_of
from benchmarks.measure import measured

if TYPE_CHECKING:
    import SimpleITK as sitk


def elastix(order: Order) -> Job:
    """Affine and B-spline with elastix's default parameter maps (4 resolutions, 10 mm grid)."""
    import itk

    # itk loads its modules at the first use of a name in them, which is an import and not the job.
    register, parameter_objects = itk.ElastixRegistrationMethod, itk.ParameterObject
    volume = itk.Image[itk.F, 3]
    _ = itk.imread, itk.ImageFileReader[volume], itk.transformix_deformation_field

    def job() -> Found:
        fixed, moving = itk.imread(order.fixed, itk.F), itk.imread(order.moving, itk.F)
        parameters = parameter_objects.New()
        for stage in ("affine", "bspline"):
            parameters.AddParameterMap(parameters.GetDefaultParameterMap(stage))
        method = register[volume, volume].New(FixedImage=fixed, MovingImage=moving)
        method.SetParameterObject(parameters)
        method.LogToConsoleOff()
        method.UpdateLargestPossibleRegion()
        transform, moved = method.GetTransformParameterObject(), method.GetOutput()
        return Found(
            lambda path: itk.imwrite(itk.transformix_deformation_field(moving, transform), str(path)),
            lambda path: itk.imwrite(moved, str(path)),
        )

    return job


def syn(order: Order) -> Job:
    """ANTsPy's default: an affine, then SyN with mutual information, 40x20x0."""
    import ants

    def job() -> Found:
        fixed, moving = ants.image_read(order.fixed), ants.image_read(order.moving)
        prefix = tempfile.mkdtemp(dir=order.output) + os.sep
        result = ants.registration(fixed, moving, type_of_transform="SyN", outprefix=prefix)
        return Found(
            lambda path: _copy_vectors(
                ants.apply_transforms(fixed, moving, result["fwdtransforms"], compose=prefix), path
            ),
            lambda path: ants.image_write(result["warpedmovout"], str(path)),
        )

    return job


def greedy(order: Order) -> Job:
    """Affine, then deformable, both with NCC over 5x5x5 voxels and 100x50x10 iterations."""
    import SimpleITK as sitk
    from picsl_greedy import Greedy3D

    threads = os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"]
    common = f"-threads {threads} -m NCC 2x2x2 -n 100x50x10 -i fixed moving"

    def job() -> Found:
        tool = Greedy3D()
        fixed = sitk.ReadImage(order.fixed, sitk.sitkFloat32)
        moving = sitk.ReadImage(order.moving, sitk.sitkFloat32)
        tool.execute(f"{common} -a -dof 12 -ia-image-centers -o affine", fixed=fixed, moving=moving, affine=None)
        tool.execute(f"{common} -it affine -o warp", warp=None)
        tool.execute(f"-threads {threads} -rf fixed -rm moving moved -r warp affine", moved=None)

        def write_field(path: Path) -> None:
            tool.execute(f"-threads {threads} -rf fixed -r warp affine -rc total", total=None)
            sitk.WriteImage(tool["total"], str(path))

        return Found(write_field, lambda path: sitk.WriteImage(tool["moved"], str(path)))

    return job


def demons(order: Order) -> Job:
    """SimpleITK: an affine with mutual information at 4x and 2x, then diffeomorphic demons 50x50x20 at 4x, 2x, 1x."""
    import SimpleITK as sitk

    def job() -> Found:
        fixed = sitk.ReadImage(order.fixed, sitk.sitkFloat32)
        moving = sitk.ReadImage(order.moving, sitk.sitkFloat32)
        affine = _sitk_affine(fixed, moving)
        aligned = sitk.HistogramMatching(sitk.Resample(moving, fixed, affine), fixed, 256, 15, True)
        method = sitk.DiffeomorphicDemonsRegistrationFilter()
        method.SetStandardDeviations(1.0)
        field = sitk.Image(fixed.GetSize(), sitk.sitkVectorFloat64)
        field.CopyInformation(fixed)
        for factor, iterations in ((4, 50), (2, 50), (1, 20)):
            level = [sitk.BinShrink(image, [factor] * 3) for image in (fixed, aligned)]
            method.SetNumberOfIterations(iterations)
            field = method.Execute(*level, _on_grid(field, level[0]))
        transform = sitk.CompositeTransform([affine, sitk.DisplacementFieldTransform(field)])
        moved = sitk.Resample(moving, fixed, transform)

        def write_field(path: Path) -> None:
            grid = fixed.GetSize(), fixed.GetOrigin(), fixed.GetSpacing(), fixed.GetDirection()
            sitk.WriteImage(sitk.TransformToDisplacementField(transform, sitk.sitkVectorFloat32, *grid), str(path))

        return Found(write_field, lambda path: sitk.WriteImage(moved, str(path)))

    return job


def _sitk_affine(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.25)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetSmoothingSigmasPerLevel([2, 1])
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 100)
    method.SetOptimizerScalesFromPhysicalShift()
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method.SetInitialTransform(start)
    return method.Execute(fixed, moving)


def _on_grid(field: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """The field on another grid; the nearest edge voxel counts outside."""
    import SimpleITK as sitk

    return sitk.Resample(field, grid, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkVectorFloat64, True)


def _copy_vectors(source: str, target: Path) -> None:
    import SimpleITK as sitk

    sitk.WriteImage(sitk.ReadImage(source, sitk.sitkVectorFloat32), str(target))


METHODS: dict[str, tuple[Prepare, tuple[str, ...]]] = {
    "elastix": (elastix, ("itk-elastix", "itk-core")),
    "syn": (syn, ("antspyx",)),
    "greedy": (greedy, ("picsl-greedy",)),
    "demons": (demons, ("SimpleITK",)),
}


def main() -> None:
    """Run one method once and leave its report, field and moved volume in the output folder."""
    order = Order.from_command_line(METHODS)
    prepare, packages = METHODS[order.method]
    job = prepare(order)
    start_s = seconds_since_start()
    found, cost = measured(job)
    found.write_field(order.output / FIELD)
    found.write_moved(order.output / MOVED)
    Report(cost, versions_of(*packages), start_s=start_s).save(order.output)


if __name__ == "__main__":
    main()
