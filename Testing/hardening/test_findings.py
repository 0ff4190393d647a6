"""What fuzzing, and reading the code for it, found: each of these once ended in a traceback, or in something wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from VoxelMorphRegistrationLib.errors import FileError, InputError, ModelError, OutputError
from VoxelMorphRegistrationLib.files.fields import read_raw_field
from VoxelMorphRegistrationLib.files.frames import open_frames
from VoxelMorphRegistrationLib.files.label_names import names_in_segmentation
from VoxelMorphRegistrationLib.files.output import check_output
from VoxelMorphRegistrationLib.files.transforms import FIELD_WRITERS, read_affine
from VoxelMorphRegistrationLib.files.volumes import read_volume, write_volume
from VoxelMorphRegistrationLib.network.card import ModelCard
from VoxelMorphRegistrationLib.network.catalogue import Catalogue
from VoxelMorphRegistrationLib.network.installation import Installation, State
from VoxelMorphRegistrationLib.network.vxm_file import assemble_vxm_dense
from VoxelMorphRegistrationLib.pipeline.batch.case_folder import MARKER, STARTED, CaseFolder
from VoxelMorphRegistrationLib.pipeline.batch.cases_file import CasesFileError, read_cases
from VoxelMorphRegistrationLib.pipeline.batch.identity import Identity
from VoxelMorphRegistrationLib.pipeline.sequence.records import FrameRecord
from VoxelMorphRegistrationLib.pipeline.sequence.store import SequenceStore
from VoxelMorphRegistrationLib.pipeline.training.checkpoint import Checkpoint
from VoxelMorphRegistrationLib.pipeline.training.curve import read_curve
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.spatial import Grid, Image

DEEP = "[" * 100_000
LONG = "x" * 300


@pytest.mark.parametrize("name", [LONG + ".nii.gz", "~nobody-of-this-name/v.nii.gz", "a\0b.nii"])
def test_names_that_no_file_can_have(name):
    with pytest.raises(FileError, match="does not exist"):
        read_volume(name)


def test_a_folder_whose_name_is_too_long():
    with pytest.raises(OutputError, match="does not exist; make it first"):
        check_output(f"/tmp/{LONG}/t.h5", FIELD_WRITERS, "transform")
    with pytest.raises(OutputError, match="cannot be made"), SequenceStore(f"/tmp/{LONG}").held(Progress()):
        pass


@pytest.mark.parametrize("letter", ["x", "脳"])
def test_a_file_with_the_longest_name_that_there_is(tmp_path, letter):
    count = (255 - len(".nii.gz")) // len(letter.encode())
    path = tmp_path / (letter * count + ".nii.gz")
    image = Image(np.ones((3, 4, 5), np.int16), Grid((3, 4, 5), np.eye(4)), "v")
    write_volume(image, path)
    assert np.array_equal(read_volume(path).array, image.array)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("sizes", ["6 7 8 -3", "6 7 8 99999999999999999999"])
def test_a_header_with_a_number_of_frames_that_cannot_be(tmp_path, sizes):
    header = f"NRRD0005\ntype: short\ndimension: 4\nspace: lps\nsizes: {sizes}\nencoding: raw\nendian: little\n"
    header += "space directions: (1,0,0) (0,1,0) (0,0,2) none\nkinds: domain domain domain list\n\n"
    (tmp_path / "s.nrrd").write_bytes(header.encode() + bytes(2000))
    with pytest.raises(FileError, match="damaged"):
        open_frames(tmp_path / "s.nrrd")


def test_a_header_that_announces_far_more_than_there_is(tmp_path):
    import nibabel

    path = tmp_path / "v.mgh"
    nibabel.save(nibabel.MGHImage(np.ones((6, 7, 8), np.int16), np.eye(4)), path)
    content = bytearray(path.read_bytes())
    content[8] = 1  # the second size is 16777223
    path.write_bytes(bytes(content))
    for read in (read_volume, read_raw_field):
        with pytest.raises(FileError, match="holds less than its header announces"):
            read(path)


def test_a_segment_without_a_number(tmp_path):
    image = sitk.Image(3, 4, 5, sitk.sitkUInt8)
    for key, value in {"Segment0_LabelValue": "x", "Segment0_Name": "a", "Segment1_LabelValue": "2"}.items():
        image.SetMetaData(key, value)
    image.SetMetaData("Segment1_Name", "liver")
    sitk.WriteImage(image, tmp_path / "s.seg.nrrd")
    assert names_in_segmentation(tmp_path / "s.seg.nrrd") == {2: "liver"}


def test_matrices_that_are_no_map_of_space(tmp_path):
    sitk.WriteTransform(sitk.AffineTransform(2), str(tmp_path / "flat.tfm"))
    with pytest.raises(InputError, match="not of three dimensions"):
        read_affine(tmp_path / "flat.tfm")


@pytest.mark.parametrize(
    "changed",
    [{"spacing_mm": [float("nan"), 1, 1]}, {"spacing_mm": [10**400, 1, 1]}, {"largest_extent_mm": [float("inf")] * 3}],
)
def test_a_card_of_numbers_that_are_none(changed):
    values = dataclasses.asdict(Catalogue().cards()[0]) | changed
    with pytest.raises(ModelError, match="cannot be used"):
        ModelCard.from_text(json.dumps(values), "card.json")


def test_json_without_end(tmp_path):
    with pytest.raises(ModelError, match="cannot be read as JSON"):
        ModelCard.from_text(DEEP, "card.json")
    (tmp_path / "sequence.json").write_text(DEEP)
    with pytest.raises(FileError, match="cannot be read"):
        _ = SequenceStore(tmp_path).description
    (tmp_path / MARKER).write_text(DEEP)
    assert CaseFolder(tmp_path).finished() is None
    installation = Installation("openvino", root=tmp_path / "packages", host_path=[])
    installation.folder.mkdir(parents=True)
    (installation.folder / "manifest.json").write_text(DEEP)
    assert installation.status().state is not State.COMPLETE


@pytest.mark.parametrize("text", ["[]", "3", '{"identity": 3}', '{"identity": null}'])
def test_a_description_of_a_sequence_that_is_none(tmp_path, text):
    (tmp_path / "sequence.json").write_text(text)
    with pytest.raises(FileError, match="cannot be read"):
        _ = SequenceStore(tmp_path).description


@pytest.mark.parametrize("changed", [{"files": [["a", float("inf")]]}, {"affine": "x"}, {"affine": [[1, 2], [3, 4]]}])
def test_a_record_of_a_frame_that_is_none(tmp_path, changed):
    record = json.loads(FrameRecord(frame=0, name="f", status="registered").to_json())
    (tmp_path / "frames").mkdir()
    path = tmp_path / "frames" / "frame_0000.json"
    path.write_text(json.dumps(record))
    assert SequenceStore(tmp_path).record(0) is not None
    path.write_text(json.dumps(record | changed))
    assert SequenceStore(tmp_path).record(0) is None


def test_numbers_that_are_none_in_what_an_attempt_left(tmp_path):
    attempt = {"id": "1", "host": "h", "process": float("nan"), "started": ""}
    identity = Identity({}, {}, "")
    (tmp_path / STARTED).write_text(json.dumps({"identity": dataclasses.asdict(identity), "attempts": [attempt]}))
    folder = CaseFolder(tmp_path)
    folder.begin(identity)
    assert len(folder.attempts) == 1


@pytest.mark.parametrize("changed", [{"packages": []}, {"size_bytes": "x"}, {"host": None}])
def test_a_manifest_of_packages_that_is_none(tmp_path, changed):
    installation = Installation("openvino", root=tmp_path, host_path=[])
    installation.folder.mkdir(parents=True)
    manifest = {"python": "3.11", "platform": "x", "packages": {}, "host": {}, "size_bytes": 1} | changed
    (installation.folder / "manifest.json").write_text(json.dumps(manifest))
    assert installation.status().state is not State.COMPLETE


def test_a_network_of_too_many_levels():
    config = {"inshape": [16] * 3, "nb_unet_features": 8, "nb_unet_levels": 10**9}
    with pytest.raises(ModelError, match="more levels than a volume can be halved"):
        assemble_vxm_dense("m.h5", config, {})


@pytest.mark.parametrize("cell", [LONG, "~nobody-of-this-name/v.nii"])
def test_cells_that_no_file_can_be_called(tmp_path, cell):
    path = tmp_path / "cases.csv"
    path.write_text(f"name,fixed,moving\np1,{cell},{cell}\n")
    with pytest.raises(CasesFileError, match="2 problems"):
        read_cases(path)


def test_cells_without_end(tmp_path):
    (tmp_path / "v.nii").touch()
    path = tmp_path / "cases.csv"
    path.write_text(f"name,sequence,reference\np1,v.nii,{'9' * 5000}\n")
    with pytest.raises(CasesFileError, match="is not a whole number"):
        read_cases(path)
    path.write_text(f"name,fixed,moving\np1,{'x' * 200_000},v.nii\n")
    with pytest.raises(FileError, match="is no CSV file from line 2 on"):
        read_cases(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"x" * 100])
def test_a_checkpoint_and_a_curve_that_are_none(tmp_path, content):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="remove it to start the training anew"):
        Checkpoint.read(path)
    curve = Path(tmp_path / "curve.csv")
    curve.write_bytes(b"step,seconds\n1,\xff\n" + content)
    with pytest.raises(FileError, match="is no loss curve"):
        read_curve(curve)
