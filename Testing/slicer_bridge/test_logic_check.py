"""`logic.checkRegistration`: transforms of every kind in a real MRML scene, the real background process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np
import pytest
from child_processes import children
from pipeline.small_pair import small_volume
from spatial.maps import bump_field
from VoxelMorphRegistrationLib.errors import CancelledError, InputError
from VoxelMorphRegistrationLib.slicer_bridge import map_display
from VoxelMorphRegistrationLib.slicer_bridge.background import close_shared_worker
from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import chain, write_grid_transform, write_linear_transform
from VoxelMorphRegistrationLib.slicer_bridge.volumes import volume_node_from_image

pytestmark = pytest.mark.timeout(300)
SHIFT = 12.0


@pytest.fixture(autouse=True)
def nothing_left(tmp_path, monkeypatch) -> Iterator[None]:
    """No file is left; the process itself is one for all tests."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    yield
    assert [path.name for path in temporary.iterdir() if not path.name.startswith("voxelmorph-host-")] == []


@pytest.fixture(scope="module", autouse=True)
def _one_process() -> Iterator[None]:
    yield
    close_shared_worker()
    assert children() == []


@pytest.fixture
def nodes(scene):
    """Two volumes, the moving one's anatomy 12 mm further to the right."""
    return volume_node_from_image(small_volume("fixed")), volume_node_from_image(small_volume("moving", SHIFT))


def new(class_name: str, name: str = ""):
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass(class_name, name or class_name)


def shifted(amount: float = SHIFT):
    """A linear transform node from fixed to moving."""
    matrix = np.eye(4)
    matrix[0, 3] = amount
    node = new("vtkMRMLLinearTransformNode", "shift")
    write_linear_transform(matrix, node)
    return node


def segmentation(volume, shift: float, names: tuple[str, ...]):
    """Spheres, as segments with binary labelmaps on the voxels of a volume node."""
    import vtk

    node = new("vtkMRMLSegmentationNode", f"in {volume.GetName()}")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for n, segment in enumerate(names):
        sphere = vtk.vtkSphereSource()
        sphere.SetCenter(shift + 25 * n, 10, 0)
        sphere.SetRadius(10)
        sphere.SetPhiResolution(30)
        sphere.SetThetaResolution(30)
        sphere.Update()
        node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), segment, (1, 0, 0))
    return node


def markups(name: str, positions, labels=None):
    node = new("vtkMRMLMarkupsFiducialNode", name)
    for n, position in enumerate(positions):
        node.AddControlPoint(list(position), labels[n] if labels else "")
    return node


def number(table, measure: str, of: str = "", column: str = "after") -> float:
    values = table.GetTable()
    for row in range(values.GetNumberOfRows()):
        if (values.GetValueByName(row, "measure").ToString(), values.GetValueByName(row, "of").ToString()) == (
            measure,
            of,
        ):
            return values.GetValueByName(row, column).ToDouble()
    raise AssertionError(f"no row '{measure}' of '{of}'")


def test_a_right_transform_with_everything_there_is_to_compare(logic, scene, nodes):
    fixed, moving = nodes
    places = [(20.0, 10, 0), (-25.0, -20, 15)]
    jacobian, magnitude, back = (new("vtkMRMLScalarVolumeNode", name) for name in ("J", "mm", "back"))
    outcome = logic.checkRegistration(
        fixed,
        moving,
        shifted(),
        segmentation(fixed, 0, ("liver", "spleen")),
        segmentation(moving, SHIFT, ("spleen", "liver")),
        markups("p", places),
        markups("q", np.add(places, [SHIFT, 0, 0])),
        jacobian,
        magnitude,
        inverseTransform=shifted(-SHIFT),
        inverseErrorVolume=back,
    )
    found = outcome.result
    assert found.landmarks.max_mm.after == pytest.approx(0, abs=1e-4)
    assert {s.name for s in found.structures} == {"liver", "spleen"}
    # the names are swapped on the other side: both structures lie 25 mm from their namesakes
    assert all(s.overlap.dice.after < 0.01 for s in found.structures)
    assert found.displacement.mean_mm == pytest.approx(SHIFT, abs=1e-3)
    assert found.inverse_consistency.max_mm == pytest.approx(0, abs=1e-3)
    assert number(outcome.table, "displacement, mean (mm)") == pytest.approx(SHIFT, abs=1e-3)
    assert number(outcome.table, "landmark error, mean (mm)", column="before") == pytest.approx(SHIFT, abs=1e-4)
    assert outcome.table.GetDescription().startswith(found.verdict)
    import slicer

    assert slicer.util.arrayFromVolume(jacobian) == pytest.approx(1, abs=1e-3)
    assert slicer.util.arrayFromVolume(magnitude) == pytest.approx(SHIFT, abs=1e-3)
    display = jacobian.GetDisplayNode()
    assert display.GetLevel() == pytest.approx(1)
    low, high = ([0.0] * 3 for _ in range(2))
    display.GetColorNode().GetLookupTable().GetColor(0, low)
    display.GetColorNode().GetLookupTable().GetColor(255, high)
    assert low[2] > low[0]  # blue shrinks
    assert high[0] > high[2]
    assert magnitude.GetDisplayNode().GetWindow() == pytest.approx(SHIFT, abs=0.01)


def test_the_moving_nodes_may_lie_under_the_transform(logic, nodes):
    fixed, moving = nodes
    transform = shifted()
    beside = logic.checkRegistration(
        fixed, moving, transform, fixedMarkups=markups("p", [(0, 0, 0)]), movingMarkups=markups("q", [(SHIFT, 0, 0)])
    )
    points = markups("r", [(SHIFT, 0, 0)])
    for node in (moving, points):
        node.SetAndObserveTransformNodeID(transform.GetID())
    under = logic.checkRegistration(
        fixed, moving, transform, fixedMarkups=markups("p", [(0, 0, 0)]), movingMarkups=points
    )
    assert under.result.similarity == beside.result.similarity
    assert under.result.landmarks.points[0].error_mm.before == pytest.approx(SHIFT)
    assert under.result.landmarks.points[0].error_mm.after == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("kind", ["from parent", "to parent", "chain", "spline"])
def test_every_kind_of_transform_node(logic, scene, nodes, kind):
    """What Slicer itself makes of a point is what the landmark error is measured by."""
    fixed, moving = nodes
    field = bump_field(small_volume("fixed").grid, 10.0, 25.0)
    if kind == "spline":
        node = new("vtkMRMLTransformNode")
        node.SetAndObserveTransformFromParent(thin_plates())
    else:
        node = new("vtkMRMLGridTransformNode")
        write_grid_transform(field, node, "modeling" if kind == "to parent" else "resampling")
    top = node
    if kind == "chain":
        node = shifted()
        chain(node, top)
    import slicer
    import vtk

    general = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, node, general)
    here = [(0.0, 0.0, 0.0), (10.0, -12.0, 8.0), (-20.0, 5.0, -10.0)]
    there = [general.TransformPoint(point) for point in here]
    outcome = logic.checkRegistration(
        fixed, moving, node, fixedMarkups=markups("p", here), movingMarkups=markups("q", there)
    )
    found = outcome.result
    assert found.landmarks.max_mm.before > 2
    assert found.landmarks.max_mm.after < 0.5
    sampled = any("looked at every" in remark.message for remark in found.remarks)
    assert sampled == (kind in ("chain", "spline"))


def thin_plates():
    import vtk

    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for x, y, z in ((-50, -50, -50), (50, -50, 50), (-50, 50, 50), (50, 50, -50), (0, 0, 0)):
        source.InsertNextPoint(x, y, z)
        target.InsertNextPoint(x + 3, y - 4, z + (9 if x == 0 else 2))
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    spline.SetBasisToR()
    return spline


def test_labelmaps_belong_together_by_their_numbers(logic, nodes):
    import slicer

    fixed, moving = nodes
    labels = []
    for volume, name in ((fixed, "a"), (moving, "b")):
        image = small_volume(name, SHIFT if volume is moving else 0.0)
        node = new("vtkMRMLLabelMapVolumeNode", name)
        volume_node_from_image(image.with_array((image.array > 600).astype(np.uint8) * 4), node)
        labels.append(node)
    found = logic.checkRegistration(fixed, moving, shifted(), labels[0], labels[1]).result
    assert [s.label for s in found.structures] == [4]
    assert found.mean_dice.after > found.mean_dice.before + 0.2
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLLabelMapVolumeNode") == 2


def test_bad_input_changes_nothing(logic, scene, nodes):
    fixed, moving = nodes
    transform, empty = shifted(), new("vtkMRMLMarkupsFiducialNode", "empty")
    drawn, nothing = segmentation(moving, 0, ("x",)), new("vtkMRMLSegmentationNode", "none")
    before = scene.GetNumberOfNodes()
    for arguments, sentence in (
        ((fixed, fixed, transform), "are the same"),
        ((fixed, moving, None), "no transform to check"),
        ((fixed, moving, moving), "not a transform node"),
        ((fixed, moving, transform, None, drawn), "nothing to be compared with"),
        ((fixed, moving, transform, None, None, empty), "on both sides"),
        ((fixed, moving, transform, None, None, empty, empty), "have no points"),
        ((fixed, moving, transform, nothing), "has no segments"),
        ((fixed, moving, transform, None, None, None, None, fixed), "would replace"),
    ):
        with pytest.raises(InputError, match=sentence):
            logic.checkRegistration(*arguments)
    with pytest.raises(CancelledError):
        logic.checkRegistration(fixed, moving, transform, isCancelled=lambda: True)
    assert scene.GetNumberOfNodes() == before


def test_grid_and_arrows_are_shown_and_hidden(scene, nodes):
    fixed, _ = nodes
    node = new("vtkMRMLGridTransformNode")
    write_grid_transform(bump_field(small_volume("fixed").grid, 10.0, 25.0), node)
    assert map_display.shown_style(node) is None
    for style in ("grid", "arrows"):
        map_display.show_transform(node, style, fixed)
        assert map_display.shown_style(node) == style
        display = node.GetDisplayNode()
        assert display.GetVisibility2D()
        assert display.GetRegionNode() is fixed
    assert 5 <= node.GetDisplayNode().GetGlyphSpacingMm() <= 10
    map_display.show_transform(node, None, fixed)
    assert map_display.shown_style(node) is None
    with pytest.raises(InputError, match="not a transform node"):
        map_display.show_transform(fixed, "grid", fixed)


def test_slicer_s_own_colors_are_taken_where_it_has_them(scene, nodes):
    import slicer

    own = slicer.vtkMRMLColorTableNode()
    own.SetTypeToUser()
    own.SetNumberOfColors(2)
    own.SetSingletonTag("FileDivergingBlueRed.txt")
    assert scene.AddNode(own).GetID() == map_display.DIVERGING
    fixed, _ = nodes
    map_display.show_jacobian(fixed, np.ones((9, 9, 9)))
    assert fixed.GetDisplayNode().GetColorNodeID() == map_display.DIVERGING
