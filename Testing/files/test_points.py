"""Landmarks as Slicer, elastix, ANTs and spreadsheets write them."""

from __future__ import annotations

import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from VoxelMorphRegistrationLib.errors import FileError, InputError, RegistrationError
from VoxelMorphRegistrationLib.files.label_names import names_in_segmentation, read_label_names
from VoxelMorphRegistrationLib.files.points import Points, read_points

RAS = np.array([[1.5, -2.0, 3.25], [-40.0, 50.5, 6e-3]])
LPS = RAS * [-1, -1, 1]


def markups(system: str, positions, **more) -> str:
    points = [{"label": f"F-{n}", "position": list(p), **more} for n, p in enumerate(positions, 1)]
    return json.dumps({"markups": [{"type": "Fiducial", "coordinateSystem": system, "controlPoints": points}]})


FCSV = """# Markups fiducial file version = 5.6
# CoordinateSystem = {system}
# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID
1,{0[0]},{0[1]},{0[2]},0,0,0,1,1,1,0,F-1,,,2,0
2,{1[0]},{1[1]},{1[2]},0,0,0,1,1,1,0,F-2,,,2,0
"""


def rows(positions, style: str) -> str:
    return "".join(style.format(n=n, x=p[0], y=p[1], z=p[2]) + "\n" for n, p in enumerate(positions, 1))


FILES = {
    "slicer lps.mrk.json": markups("LPS", LPS),
    "slicer ras.mrk.json": markups("RAS", RAS),
    "new.fcsv": FCSV.format(*LPS, system="LPS"),
    "old.fcsv": FCSV.format(*RAS, system="0"),
    "ants.csv": "x,y,z,t,label\n" + rows(LPS, "{x},{y},{z},0,F-{n}"),
    "ras.csv": "label;R;A;S\n" + rows(RAS, "F-{n};{x};{y};{z}"),
    "lps.tsv": "l\tp\ts\tname\n" + rows(LPS, "{x}\t{y}\t{z}\tF-{n}"),
    "plain.txt": "# mm\n" + rows(LPS, "{x} {y} {z}"),
    "numbered.csv": rows(LPS, "{n},{x},{y},{z}"),
    "named.csv": rows(LPS, "F-{n},{x},{y},{z}"),
    "elastix.pts": "point\n2\n" + rows(LPS, "{x} {y} {z}"),
    "dirlab.pts": rows(LPS, "{x} {y} {z}"),
}


@pytest.mark.parametrize("name", FILES)
def test_points_of_every_program(tmp_path, name):
    (tmp_path / name).write_text(FILES[name])
    found = read_points(tmp_path / name)
    assert found.positions == pytest.approx(RAS)
    assert found.names == (("F-1", "F-2") if "F-1" in FILES[name] else ("1", "2"))


def test_what_does_not_say_what_it_is_can_be_told(tmp_path):
    (tmp_path / "plain.txt").write_text(rows(RAS, "{x} {y} {z}"))
    (tmp_path / "says.mrk.json").write_text(markups("LPS", LPS))
    assert read_points(tmp_path / "plain.txt", "RAS").positions == pytest.approx(RAS)
    assert read_points(tmp_path / "says.mrk.json", "RAS").positions == pytest.approx(RAS)


def test_points_that_were_not_placed_are_left_out(tmp_path):
    text = json.loads(markups("LPS", LPS))
    text["markups"][0]["controlPoints"][0]["positionStatus"] = "undefined"
    (tmp_path / "one.mrk.json").write_text(json.dumps(text))
    assert read_points(tmp_path / "one.mrk.json").names == ("F-2",)


@pytest.mark.parametrize(
    ("name", "text", "error", "sentence"),
    [
        ("a.xyz", "1 2 3", FileError, "no known file of landmarks"),
        ("a.csv", "", InputError, "holds no landmarks"),
        ("a.csv", "1,2\n", InputError, "holds no x, y and z"),
        ("a.csv", "x,y,z\n1,2,three\n", InputError, "row 1 holds no x, y and z"),
        ("a.pts", "point\n3\n1 2 3\n", InputError, "announces 3 points but holds 1"),
        ("a.pts", "index\n1\n1 2 3\n", InputError, "voxel indices"),
        ("a.mrk.json", "{", FileError, "cannot be read"),
        ("a.mrk.json", '{"markups": []}', InputError, "holds no landmarks"),
        ("a.mrk.json", markups("XYZ", LPS), InputError, "none of RAS and LPS"),
        ("a.csv", "nan,1,2\n1,2,3", InputError, "row 1"),
    ],
)
def test_bad_files_are_one_sentence(tmp_path, name, text, error, sentence):
    (tmp_path / name).write_text(text)
    with pytest.raises(error, match=sentence):
        read_points(tmp_path / name)


@given(st.text(max_size=200), st.sampled_from([".mrk.json", ".fcsv", ".csv", ".txt", ".pts"]))
@settings(max_examples=100, deadline=None)
def test_any_text_is_points_or_one_sentence(tmp_path_factory, text, suffix):
    path = tmp_path_factory.mktemp("points") / f"any{suffix}"
    path.write_text(text, encoding="utf-8")
    found = None
    with suppress(RegistrationError):  # nothing else may come out
        found = read_points(path)
    assert found is None or (isinstance(found, Points) and np.isfinite(found.positions).all())


def test_names_of_labels(tmp_path):
    (tmp_path / "lut.txt").write_text(
        "#No. Label Name:  R G B A\n0 Unknown 0 0 0 0\n17  Left-Hippocampus  220 216 20 0\n53,Right Hippocampus\n"
        '4;"Lateral ventricle"\n'
    )
    assert read_label_names(tmp_path / "lut.txt") == {
        0: "Unknown", 17: "Left-Hippocampus", 53: "Right Hippocampus", 4: "Lateral ventricle",
    }  # fmt: skip
    (tmp_path / "none.txt").write_text("nothing\n")
    with pytest.raises(InputError, match="names no label"):
        read_label_names(tmp_path / "none.txt")


def test_names_in_a_segmentation_of_slicer(tmp_path):
    import SimpleITK as sitk

    image = sitk.Image(3, 3, 3, sitk.sitkUInt8)
    for key, value in (("Segment0_LabelValue", "2"), ("Segment0_Name", "liver"), ("Segment1_LabelValue", "1")):
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(tmp_path / "organs.seg.nrrd"))
    assert names_in_segmentation(tmp_path / "organs.seg.nrrd") == {2: "liver"}
    assert names_in_segmentation(tmp_path / "organs.nii.gz") == {}
