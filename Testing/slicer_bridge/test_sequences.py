"""`registerSequence` of the logic on real MRML, with the real background process: play, save, cancel, fail.

The anatomy moves by known shifts and the network is one that moves nothing, so that the rigid pre-alignment is all that
is found; fields that bend come from a folder of results that the test writes with the library's own store.
"""

from __future__ import annotations

import threading

import numpy as np
import pytest

pytest.importorskip("slicer")
pytest.importorskip("openvino", reason="needs an engine (pip install openvino)")
import slicer
from host.scene import load_scene, save_scene
from slicer_bridge import sequence_scene as s
from slicer_bridge.support import add_volume, distance, scene_content, smooth_field
from VoxelMorphRegistrationLib.errors import CancelledError, InputError, ModelError
from VoxelMorphRegistrationLib.pipeline.sequence import FrameRecord, SequenceStore
from VoxelMorphRegistrationLib.slicer_bridge.segmentation_carrying import carrier_for
from VoxelMorphRegistrationLib.slicer_bridge.sequence_results import SequenceWriter, Wanted
from VoxelMorphRegistrationLib.slicer_bridge.sequences import SequenceOfVolumes

TOLERANCE_MM = 0.5  # of the rigid pre-alignment, on voxels of 4 mm


@pytest.fixture
def network(tmp_path, monkeypatch):
    monkeypatch.setenv("VOXELMORPH_REGISTRATION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return s.still_network(tmp_path)


def temporary_folders(tmp_path):
    for thread in threading.enumerate():
        if thread.name == "VoxelMorph tidying":
            thread.join(10)
    return list(tmp_path.glob("voxelmorph-registration-*"))


def play(browser):
    """Each frame in turn."""
    for n in range(browser.GetNumberOfItems()):
        browser.SetSelectedItemNumber(n)
        yield n


# ---- playing ------------------------------------------------------------------------------------------------------


def test_playing_the_browser_carries_everything_as_the_anatomy_moves(scene, logic, network, tmp_path):
    browser, sequence = s.add_sequence(selected=3)
    nodes = [s.add_segmentation(surfaces=True), s.add_labelmap(), s.add_sphere(), s.add_point()]
    under = s.add_point("under the transform")
    stages = []
    outcome = logic.registerSequence(
        browser,
        s.REFERENCE,
        carriedNodes=nodes,
        model=network,
        preAlignment="rigid",
        progressCallback=lambda stage, fraction: stages.append((fraction, stage)),
    )
    assert browser.GetSelectedItemNumber() == 3
    assert browser.GetNumberOfItems() == len(s.SHIFTS)
    assert browser.GetMasterSequenceNode() is sequence
    under.SetAndObserveTransformNodeID(outcome.transform.GetID())
    organs, labelmap, ball, landmark = outcome.carriedNodes
    for n in play(browser):
        assert distance(s.control_point(under), s.moved(n)) < TOLERANCE_MM
        assert distance(s.control_point(landmark), s.moved(n)) < TOLERANCE_MM
        assert distance(s.centre_of_points(ball.GetPolyData()), s.moved(n)) < TOLERANCE_MM + 0.1
        for node in (organs, labelmap):
            start = s.centre_of_label(nodes[1], 1)
            assert distance(s.centre_of_label(node, 1) - start, s.moved(n) - s.POINT) < TOLERANCE_MM
        surface = organs.GetSegmentation().GetNthSegment(0).GetRepresentation("Closed surface")
        resting = nodes[0].GetSegmentation().GetNthSegment(0).GetRepresentation("Closed surface")
        way = s.centre_of_points(surface) - s.centre_of_points(resting)
        assert distance(way, s.moved(n) - s.POINT) < TOLERANCE_MM
        assert organs.GetTransformNodeID() is None
    segments = organs.GetSegmentation()
    names = [segments.GetNthSegment(n).GetName() for n in range(segments.GetNumberOfSegments())]
    assert names == ["liver", "spleen"]
    assert segments.GetNthSegment(1).GetColor() == pytest.approx((0.1, 0.3, 0.8))
    assert s.control_point(s.add_point("untouched")) == pytest.approx(s.POINT)
    fractions = [fraction for fraction, _ in stages]
    assert fractions == sorted(fractions)
    assert {"Making the nodes (frame 1 of 6)", "Making the nodes (frame 6 of 6)"} <= {stage for _, stage in stages}
    assert temporary_folders(tmp_path) == []


@pytest.mark.parametrize(("mode", "status"), [("chain", "registered"), ("keyframes", "interpolated")])
def test_chains_and_key_frames_carry_as_the_anatomy_moves(scene, logic, network, tmp_path, mode, status):
    browser, _ = s.add_sequence()
    outcome = logic.registerSequence(
        browser,
        s.REFERENCE,
        mode=mode,
        keyFrames=2,
        model=network,
        preAlignment="rigid",
        storageFolder=tmp_path / "kept",
    )
    under = s.add_point("under the transform")
    under.SetAndObserveTransformNodeID(outcome.transform.GetID())
    records = SequenceStore(tmp_path / "kept").records()
    assert status in {record.status for record in records}
    chained = [record.built_on for record in records if mode == "chain" and record.frame in (3, 4)]
    assert chained in ([], [(2,), (3,)])
    for n in play(browser):
        # Between key frames the motion is taken to be straight, which this one is but for its turning points.
        neighbours = [s.moved(k) for k in (n - 1, n + 1)] if records[n].status == "interpolated" else [s.moved(n)]
        assert distance(s.control_point(under), np.mean(neighbours, axis=0)) < len(records) * TOLERANCE_MM / 2


def test_sequences_are_the_masters_and_not_recorded(scene, logic, network):
    browser, sequence = s.add_sequence()
    outcome = logic.registerSequence(
        browser, s.REFERENCE, carriedNodes=[s.add_segmentation()], model=network, preAlignment="rigid"
    )
    for made, editable in ((outcome.transformSequence, False), (outcome.carriedSequences[0], True)):
        assert made.GetNumberOfDataNodes() == sequence.GetNumberOfDataNodes()
        values = [made.GetNthIndexValue(n) for n in range(made.GetNumberOfDataNodes())]
        assert values == ["0", "0.5", "1", "1.5", "2", "2.5"]
        assert (made.GetIndexName(), made.GetIndexUnit()) == ("time", "s")
        assert not browser.GetRecording(made)
        assert browser.GetPlayback(made)
        assert not browser.GetOverwriteProxyName(made)
        assert browser.GetSaveChanges(made) == editable
    assert outcome.transform.GetName() == "CT motion transform"
    transform = outcome.transformSequence.GetNthDataNode(s.REFERENCE)
    assert transform.GetTransformFromParent().TransformPoint(s.POINT) == pytest.approx(s.POINT)


def test_what_is_drawn_in_a_frame_is_kept_in_it(scene, logic, network):
    browser, _sequence = s.add_sequence(selected=2)
    outcome = logic.registerSequence(
        browser, s.REFERENCE, carriedNodes=[s.add_segmentation()], model=network, preAlignment="rigid"
    )
    shown = outcome.carriedNodes[0]
    segment = shown.GetSegmentation().GetSegmentIDs()[1]
    shown.GetSegmentation().RemoveSegment(segment)
    shown.Modified()
    counts = {n: shown.GetSegmentation().GetNumberOfSegments() for n in play(browser)}
    assert counts == {0: 2, 1: 2, 2: 1, 3: 2, 4: 2, 5: 2}


def test_hold_moves_each_frame_onto_the_reference(scene, logic, network):
    """A volume under the transform stands still; what is carried moves as with "carry"."""
    browser, sequence = s.add_sequence()
    outcome = logic.registerSequence(
        sequence,
        s.REFERENCE,
        direction="hold",
        carriedNodes=[s.add_segmentation(), s.add_point()],
        model=network,
        preAlignment="rigid",
    )
    assert outcome.browser is browser
    for n in play(browser):
        back = outcome.transform.GetTransformToParent().TransformPoint(s.moved(n))
        assert distance(np.array(back), np.array(s.POINT)) < TOLERANCE_MM
        assert distance(s.control_point(outcome.carriedNodes[1]), s.moved(n)) < TOLERANCE_MM
    proxy = browser.GetProxyNode(sequence)
    proxy.SetAndObserveTransformNodeID(outcome.transform.GetID())
    again = SequenceOfVolumes.of(browser).frames()  # taken as they lie below the transform, which is played, too
    assert again[0].grid.is_same(s.frames_grid())


def test_a_bent_field_carries_points_surfaces_and_labels_alike(scene, tmp_path):
    """Exactly known fields, on an oblique grid of their own, through the same writing of nodes."""
    browser, _sequence = s.add_sequence()
    volumes, store = SequenceOfVolumes.of(browser), SequenceStore(tmp_path / "results")
    store.begin({"frames": len(volumes)}, {"reference": s.REFERENCE})
    lattice = s.frames_grid().with_shape((17, 18, 19))
    fields = {}
    for n in range(len(volumes)):
        status = "reference" if n == s.REFERENCE else "registered"
        if status == "registered":
            fields[n] = smooth_field(lattice, 5.0, seed=n)
            store.write_field(n, fields[n], "float32")
        store.write_record(FrameRecord(n, f"frame {n}", status, similarity_after=0.9))
    nodes = [s.add_segmentation(surfaces=True), s.add_point()]
    carriers = tuple(carrier_for(node, s.frames_grid()) for node in nodes)
    wanted = Wanted(True, carriers, "carry", [frame.grid for frame in volumes.frames()])
    writer = SequenceWriter(store, volumes, wanted)
    before = scene_content(scene)
    while not writer.is_done:
        writer.step(1.0)
    assert scene_content(scene) == before  # nothing is there before the end
    written = writer.finish()
    for n in play(browser):
        if n == s.REFERENCE:
            continue
        there = s.control_point(written.carried[1].proxy)
        assert distance(fields[n].map_points(there), np.array(s.POINT)) < 0.02
        segment = written.carried[0].proxy.GetSegmentation().GetNthSegment(0)
        surface = s.centre_of_points(segment.GetRepresentation("Closed surface"))
        assert distance(surface, s.centre_of_label(written.carried[0].proxy, 1)) < 2.0
        probe = s.frames_grid().to_ras([20, 20, 20])
        mapped = written.transforms.proxy.GetTransformFromParent().TransformPoint(probe)
        assert distance(np.array(mapped), fields[n].map_points(probe)) < 1e-3
    written.added.remove()
    assert scene_content(scene) == before


# ---- results in numbers -------------------------------------------------------------------------------------------


def test_motion_results_are_a_table_with_charts(scene, logic, network):
    browser, _sequence = s.add_sequence()
    outcome = logic.registerSequence(
        browser, s.REFERENCE, carriedNodes=[s.add_segmentation()], model=network, preAlignment="rigid"
    )
    table = outcome.table.GetTable()

    def column(name):
        return np.array([table.GetValueByName(row, name).ToDouble() for row in range(table.GetNumberOfRows())])

    assert column("time (s)") == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5])
    shifts = np.abs(np.array(s.SHIFTS) - s.SHIFTS[s.REFERENCE])
    assert column("liver from reference (mm)") == pytest.approx(shifts, abs=TOLERANCE_MM)
    assert column("liver mean displacement (mm)") == pytest.approx(shifts, abs=TOLERANCE_MM)
    assert column("liver R (mm)") - column("liver R (mm)")[s.REFERENCE] == pytest.approx(
        np.array(s.SHIFTS) - s.SHIFTS[s.REFERENCE], abs=TOLERANCE_MM
    )
    ml = abs(np.linalg.det(s.frames_grid().axes)) / 1000
    assert column("liver volume (ml)") == pytest.approx(np.full(6, 9**3 * ml), rel=0.02)
    assert (column("similarity after") >= column("similarity before") - 1e-6).all()
    assert column("folded (%)") == pytest.approx(np.zeros(6))
    charts = [node for node in outcome.chartNodes if node.IsA("vtkMRMLPlotChartNode")]
    assert [chart.GetTitle() for chart in charts] == [
        f"CT: {what}" for what in ("volume", "centroids", "displacement", "similarity", "folding")
    ]
    for chart in charts:
        series = [chart.GetNthPlotSeriesNode(n) for n in range(chart.GetNumberOfPlotSeriesNodes())]
        assert series
        for one in series:
            assert one.GetTableNode() is outcome.table
            assert table.GetColumnByName(one.GetYColumnName()) is not None
            assert one.GetXColumnName() == "time (s)"
    assert outcome.worstFrames[0] != s.REFERENCE
    assert str(outcome.worstFrames[0]) in outcome.summary()


# ---- storage ------------------------------------------------------------------------------------------------------


def test_everything_survives_a_scene_bundle(scene, logic, network, tmp_path):
    browser, _sequence = s.add_sequence()
    logic.registerSequence(
        browser,
        s.REFERENCE,
        carriedNodes=[s.add_segmentation(), s.add_labelmap(), s.add_sphere(), s.add_point()],
        model=network,
        preAlignment="rigid",
    )
    save_scene(tmp_path / "scene.mrb")
    slicer.mrmlScene.Clear(False)
    load_scene(tmp_path / "scene.mrb")
    browser = slicer.util.getNode("CT browser")
    transform, landmark = slicer.util.getNode("CT motion transform"), slicer.util.getNode("landmark moving")
    organs, labelmap = slicer.util.getNode("organs moving"), slicer.util.getNode("labels moving")
    ball = slicer.util.getNode("ball moving")
    assert browser.GetSelectedItemNumber() == 3
    assert slicer.util.getNode("CT motion results").GetTable().GetNumberOfRows() == 6
    for n in play(browser):
        assert distance(np.array(transform.GetTransformToParent().TransformPoint(s.POINT)), s.moved(n)) < TOLERANCE_MM
        assert distance(s.control_point(landmark), s.moved(n)) < TOLERANCE_MM
        assert distance(s.centre_of_points(ball.GetPolyData()), s.moved(n)) < TOLERANCE_MM + 0.1
        assert distance(s.centre_of_label(organs, 1), s.centre_of_label(labelmap, 1)) < 0.01


def test_transform_and_labelmap_sequences_are_one_file_each(scene, logic, network, tmp_path):
    browser, _sequence = s.add_sequence()
    outcome = logic.registerSequence(
        browser, s.REFERENCE, carriedNodes=[s.add_labelmap()], model=network, preAlignment="rigid"
    )
    sequences = slicer.modules.sequences.logic()
    for made in (outcome.transformSequence, outcome.carriedSequences[0]):
        path = logic.saveSequence(made, tmp_path / f"{made.GetName()}.seq.nrrd")
        read = sequences.AddSequence(str(path[0]), None)
        assert read.GetNumberOfDataNodes() == 6
        assert [read.GetNthIndexValue(n) for n in range(6)] == ["0", "0.5", "1", "1.5", "2", "2.5"]
        assert (read.GetIndexName(), read.GetIndexUnit()) == ("time", "s")
        if made is outcome.transformSequence:
            for n in range(6):
                to_parent = read.GetNthDataNode(n).GetTransformToParent()
                assert distance(np.array(to_parent.TransformPoint(s.POINT)), s.moved(n)) < TOLERANCE_MM
        else:
            for n in range(6):
                wanted = s.centre_of_label(made.GetNthDataNode(n), 5)
                assert distance(s.centre_of_label(read.GetNthDataNode(n), 5), wanted) < 1e-3


def test_each_frame_is_a_file_that_slicer_reads(scene, logic, network, tmp_path):
    browser, _sequence = s.add_sequence()
    outcome = logic.registerSequence(
        browser,
        s.REFERENCE,
        carriedNodes=[s.add_segmentation(), s.add_labelmap(), s.add_sphere(), s.add_point()],
        model=network,
        preAlignment="rigid",
    )
    endings = (".nrrd", ".seg.nrrd", ".nrrd", ".vtk", ".mrk.json")
    for made, ending in zip((outcome.transformSequence, *outcome.carriedSequences), endings, strict=True):
        folder = tmp_path / made.GetName()
        files = logic.saveSequence(made, folder)
        assert [file.name for file in files] == [f"{made.GetName()}_{n:04d}{ending}" for n in range(6)]
        assert all(file.stat().st_size > 0 for file in files)
        node = made.GetNthDataNode(2).CreateNodeInstance()
        slicer.mrmlScene.AddNode(node)
        storage = node.CreateDefaultStorageNode()
        storage.SetScene(slicer.mrmlScene)
        storage.SetFileName(str(files[2]))
        assert storage.ReadData(node), files[2]
        if node.IsA("vtkMRMLMarkupsNode"):
            assert distance(s.control_point(node), s.moved(2)) < TOLERANCE_MM
        if node.IsA("vtkMRMLSegmentationNode"):
            assert node.GetSegmentation().GetNthSegment(0).GetName() == "liver"
            assert distance(s.centre_of_label(node, 1), s.centre_of_label(made.GetNthDataNode(2), 1)) < 0.01


def test_results_only_keeps_no_transforms(scene, logic, network):
    browser, _sequence = s.add_sequence()
    outcome = logic.registerSequence(
        browser,
        s.REFERENCE,
        carriedNodes=[s.add_segmentation()],
        storage="results",
        model=network,
        preAlignment="rigid",
    )
    assert outcome.transform is None
    start = s.centre_of_label(outcome.carriedSequences[0].GetNthDataNode(s.REFERENCE), 1)
    for n in play(browser):
        centre = s.centre_of_label(outcome.carriedNodes[0], 1)
        assert distance(centre - start, s.moved(n) - s.POINT) < TOLERANCE_MM


def test_a_stopped_run_goes_on_in_its_folder(scene, logic, network, tmp_path):
    browser, _sequence = s.add_sequence()
    before, folder = scene_content(scene), tmp_path / "kept"
    stop = []

    def heard(stage, _fraction):
        if stage.startswith("Frame 3"):
            stop.append(stage)

    choices = {"model": network, "preAlignment": "rigid", "storageFolder": folder, "progressCallback": heard}
    with pytest.raises(CancelledError, match=r"frames are finished in .*kept"):
        logic.registerSequence(browser, s.REFERENCE, isCancelled=lambda: bool(stop), **choices)
    assert scene_content(scene) == before
    done = [record.frame for record in SequenceStore(folder).records()]
    assert s.REFERENCE in done
    assert 5 not in done
    first = {n: SequenceStore(folder).path("frame", n).stat().st_mtime_ns for n in done}
    outcome = logic.registerSequence(browser, s.REFERENCE, **choices)
    assert len(outcome.frames) == 6
    assert {n: SequenceStore(folder).path("frame", n).stat().st_mtime_ns for n in done} == first
    assert temporary_folders(tmp_path) == []


# ---- what goes wrong ----------------------------------------------------------------------------------------------


def test_cancelling_leaves_nothing(scene, logic, network, tmp_path):
    browser, _sequence = s.add_sequence()
    nodes = [s.add_segmentation()]
    for beginning in ("Looking at the sequence", "Frame ", "Making the nodes"):
        before, heard = scene_content(scene), []

        def hear(stage, _fraction, beginning=beginning, heard=heard):
            if stage.startswith(beginning):
                heard.append(stage)

        with pytest.raises(CancelledError, match="nothing was changed"):
            logic.registerSequence(
                browser,
                s.REFERENCE,
                carriedNodes=nodes,
                model=network,
                progressCallback=hear,
                isCancelled=lambda heard=heard: bool(heard),
            )
        assert heard
        assert scene_content(scene) == before
        assert browser.GetSelectedItemNumber() == 3
    assert temporary_folders(tmp_path) == []


def test_a_failure_leaves_the_scene_as_it_was(scene, logic, network, tmp_path, monkeypatch):
    browser, _sequence = s.add_sequence()
    nodes = [s.add_segmentation()]
    before = scene_content(scene)
    with pytest.raises(ModelError):
        logic.registerSequence(browser, s.REFERENCE, model=str(tmp_path / "none.h5"))
    monkeypatch.setattr(
        "VoxelMorphRegistrationLib.slicer_bridge.sequence_results.show_all",
        lambda browser, outputs: (outputs[0].show(browser), outputs[1].show(browser), 1 / 0),
    )
    with pytest.raises(ZeroDivisionError):
        logic.registerSequence(browser, s.REFERENCE, carriedNodes=nodes, model=network)
    assert scene_content(scene) == before
    assert browser.GetSelectedItemNumber() == 3
    assert temporary_folders(tmp_path) == []


def test_a_bad_frame_is_named_and_the_others_are_done(scene, logic, network):
    browser, sequence = s.add_sequence()
    sequence.GetNthDataNode(4).SetAndObserveImageData(None)
    voxels = slicer.util.arrayFromVolume(sequence.GetNthDataNode(2))
    voxels[:] = 0
    outcome = logic.registerSequence(
        browser, s.REFERENCE, carriedNodes=[s.add_segmentation()], model=network, preAlignment="rigid"
    )
    told = " ".join(outcome.warnings)
    assert "Frame 4 failed: The frame 4 'CT 4' has no voxels" in told
    assert "Frame 2 failed" in told
    assert "failed: 2, 4" in outcome.summary()
    assert [record.frame for record in outcome.frames if record.is_done] == [0, 1, 3, 5]
    assert outcome.transformSequence.GetNumberOfDataNodes() == 4
    for n in play(browser):
        transform = outcome.transform.GetTransformToParent()
        if n in (2, 4):  # nothing is known of them, so nothing is shown
            assert outcome.carriedNodes[0].GetSegmentation().GetNumberOfSegments() == 0
        else:
            assert distance(np.array(transform.TransformPoint(s.POINT)), s.moved(n)) < TOLERANCE_MM
    assert outcome.transformSequence.GetNumberOfDataNodes() == 4  # showing them has made none


def test_what_cannot_work_is_said_before_anything_runs(scene, logic, network):
    browser, sequence = s.add_sequence()
    point, segmentation = s.add_point(), s.add_segmentation()
    before = scene_content(scene)
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "empty")
    cases = [
        ((None,), {}, "not a sequence node or browser"),
        ((other,), {}, "not a sequence node or browser"),
        ((empty,), {}, "'empty' does not hold scalar volumes"),
        ((browser, 6), {}, "no frame 6 in 'CT'; its 6 frames are counted from 0 to 5"),
        ((browser,), {"carriedNodes": [point]}, "Give the reference frame"),
        ((browser, 1), {"carriedNodes": [other]}, "Table cannot be carried"),
        ((browser, 1), {"carriedNodes": [point], "storage": "results"}, "only be carried where the fields are kept"),
        ((browser, 1), {"storage": "results"}, "nothing to carry"),
        ((browser, 1), {"mode": "nearest"}, "Unknown mode"),
        ((browser, 1), {"direction": "up"}, "Unknown direction"),
    ]
    for arguments, choices, words in cases:
        with pytest.raises(InputError, match=words):
            logic.registerSequence(*arguments, model=network, **choices)
    segmentation.GetSegmentation().RemoveAllSegments()
    with pytest.raises(InputError, match="'organs' has no segments"):
        logic.registerSequence(browser, 1, carriedNodes=[segmentation], model=network)
    slicer.mrmlScene.RemoveNode(other)
    slicer.mrmlScene.RemoveNode(empty)
    assert scene_content(scene) == before
    assert sequence.GetNumberOfDataNodes() == 6


def test_the_frame_nearest_the_middle_of_the_motion_is_suggested(scene, logic, network):
    browser, _sequence = s.add_sequence()
    assert s.SHIFTS[logic.suggestReferenceFrame(browser)] == 4.0


def test_a_sequence_without_browser_gets_one(scene, logic, network):
    browser, sequence = s.add_sequence()
    browser.RemoveSynchronizedSequenceNode(sequence.GetID())
    slicer.mrmlScene.RemoveNode(browser)
    outcome = logic.registerSequence(sequence, s.REFERENCE, model=network, preAlignment="rigid")
    assert outcome.browser.GetMasterSequenceNode() is sequence
    assert outcome.browser.GetProxyNode(outcome.transformSequence) is outcome.transform


def test_segments_that_overlap_are_carried_apart(scene, logic, network):
    """They lie in two labelmaps, which the registration itself cannot measure: fields must be kept."""
    browser, _sequence = s.add_sequence()
    segmentation = s.add_segmentation()
    whole = s.labels() > 0
    extra = add_volume(whole.astype(np.uint8), s.frames_grid(), "both", "vtkMRMLLabelMapVolumeNode")
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(extra, segmentation)
    assert segmentation.GetSegmentation().GetNumberOfLayers("Binary labelmap") == 2
    with pytest.raises(InputError, match="without overlaps"):
        logic.registerSequence(browser, 1, carriedNodes=[segmentation], storage="results", model=network)
    outcome = logic.registerSequence(
        browser, s.REFERENCE, carriedNodes=[segmentation], model=network, preAlignment="rigid"
    )
    carried = outcome.carriedNodes[0].GetSegmentation()
    browser.SetSelectedItemNumber(2)
    assert carried.GetNumberOfSegments() == 3
    assert carried.GetNumberOfLayers("Binary labelmap") == 2
