"""Every reader of the project, with small good files for it. A new reader is a line in ``TARGETS``."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from files.foreign_files import AFFINE, VECTORS, vector_image, written
from VoxelMorphRegistrationLib.errors import FileError, RegistrationError
from VoxelMorphRegistrationLib.files.any_transform import read_transform
from VoxelMorphRegistrationLib.files.fields import apart, read_raw_field
from VoxelMorphRegistrationLib.files.fields.sidecar import sidecar_text
from VoxelMorphRegistrationLib.files.frames import open_frames
from VoxelMorphRegistrationLib.files.label_names import names_in_segmentation, read_label_names
from VoxelMorphRegistrationLib.files.points import read_points
from VoxelMorphRegistrationLib.files.transforms import read_affine, read_field, write_affine, write_field
from VoxelMorphRegistrationLib.files.volumes import read_labels, read_volume, write_volume
from VoxelMorphRegistrationLib.network.card import ModelCard
from VoxelMorphRegistrationLib.network.catalogue import Catalogue
from VoxelMorphRegistrationLib.network.families import read_original
from VoxelMorphRegistrationLib.network.installation import Installation
from VoxelMorphRegistrationLib.network.vxm_file import read_vxm_dense
from VoxelMorphRegistrationLib.pipeline import exchange
from VoxelMorphRegistrationLib.pipeline.batch.case_folder import MARKER, STARTED, CaseFolder
from VoxelMorphRegistrationLib.pipeline.batch.cases_file import read_cases
from VoxelMorphRegistrationLib.pipeline.batch.identity import Identity
from VoxelMorphRegistrationLib.pipeline.batch.record import Attempt, Record
from VoxelMorphRegistrationLib.pipeline.file_state import FileState
from VoxelMorphRegistrationLib.pipeline.registration_job import RegistrationJob
from VoxelMorphRegistrationLib.pipeline.sequence.compact import read_rounded, write_rounded
from VoxelMorphRegistrationLib.pipeline.sequence.records import FrameRecord, StructureMotion
from VoxelMorphRegistrationLib.pipeline.sequence.store import SequenceStore
from VoxelMorphRegistrationLib.pipeline.training.checkpoint import Checkpoint
from VoxelMorphRegistrationLib.pipeline.training.curve import read_curve
from VoxelMorphRegistrationLib.spatial import DisplacementField, Grid, Image

SHAPE = (6, 7, 8)
_GRID = Grid(SHAPE, AFFINE)
_RANDOM = np.random.default_rng(0)


@dataclass(frozen=True)
class Target:
    """A reader: ``seeds`` writes good files, a folder for each, and ``read`` reads what lies in such a folder."""

    seeds: Callable[[Path], None]
    read: Callable[[Path], object]
    allowed: tuple[type[Exception], ...] = (RegistrationError,)
    """What it may raise for a damaged file."""
    for_users: bool = True
    """Its errors are sentences for a user."""
    lists: bool = False
    """Its errors may have several lines, one for each thing that is wrong."""
    prepare: Callable[[], None] = lambda: None
    batch: int = 250
    """How many of its files are read in one process, before it is the next target's turn."""


def entry(folder: Path) -> Path:
    """The file in the folder that is to be read: "input" with any ending."""
    return next(iter(sorted(folder.glob("input*"))), folder / "input")


# ---- volumes and frames --------------------------------------------------------------------------------------------


def _image(dtype: str = "int16") -> Image:
    return Image(_RANDOM.integers(0, 200, SHAPE).astype(dtype), _GRID, "input")


def _seed(folder: Path, name: str) -> Path:
    (folder / name).mkdir(parents=True)
    return folder / name


def _volume_seeds(folder: Path) -> None:
    for ending in ("nii", "nii.gz", "nrrd", "mha", "mgz"):
        write_volume(_image(), _seed(folder, ending) / f"input.{ending}")
    sitk_image = sitk.GetImageFromArray(_image().array.transpose(2, 1, 0).copy())
    for ending in ("nhdr", "mhd"):
        sitk.WriteImage(sitk_image, str(_seed(folder, ending) / f"input.{ending}"))
    sitk.WriteImage(sitk_image, str(_seed(folder, "plain") / "input.nrrd"), useCompression=False)
    np.save(_seed(folder, "npy") / "input.npy", _image().array)
    np.savez_compressed(_seed(folder, "npz") / "input.npz", vol=_image("float32").array, affine=AFFINE)
    _dicom(_seed(folder, "dicom") / "input", slices=3, frames=1)


def _dicom(folder: Path, slices: int, frames: int) -> None:
    folder.mkdir()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for frame in range(frames):
        for n in range(slices):
            image = sitk.GetImageFromArray(_image().array[:, :, 0:1].transpose(2, 1, 0).astype(np.int16))
            tags = {
                "0008|0060": "CT", "0020|000e": "1.2.3.4", "0020|000d": "1.2.3", "0020|0013": str(frame * slices + n),
                "0008|0018": f"1.2.3.4.{frame}.{n}", "0020|0032": f"0\\0\\{2 * n}", "0020|0037": "1\\0\\0\\0\\1\\0",
                "0020|0100": str(frame), "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            }  # fmt: skip
            for tag, value in tags.items():
                image.SetMetaData(tag, value)
            writer.SetFileName(str(folder / f"{frame}-{n}.dcm"))
            writer.Execute(image)


def _read_volume(folder: Path) -> None:
    image = read_volume(entry(folder))
    if image.array.ndim != 3 or not np.isfinite(image.grid.ijk_to_ras).all():
        raise AssertionError(f"a volume of {image.array.ndim} axes, or nowhere")


def _read_labels(folder: Path) -> None:
    array = read_labels(entry(folder)).array
    if array.dtype.kind not in "iu":
        raise AssertionError(f"labels of {array.dtype}")


def _frame_seeds(folder: Path) -> None:
    frames = _RANDOM.integers(0, 200, (*SHAPE, 3)).astype(np.int16)
    import nibabel

    nibabel.save(nibabel.Nifti1Image(frames, AFFINE), _seed(folder, "nii") / "input.nii")
    nibabel.save(nibabel.Nifti1Image(frames, AFFINE), _seed(folder, "nii.gz") / "input.nii.gz")
    image = sitk.GetImageFromArray(frames.transpose(3, 2, 1, 0).copy(), isVector=False)
    sitk.WriteImage(image, str(_seed(folder, "mha") / "input.mha"))
    sitk.WriteImage(image, str(_seed(folder, "nrrd") / "input.nrrd"), useCompression=False)
    sitk.WriteImage(image, str(_seed(folder, "nrrd.gz") / "input.nrrd"), useCompression=True)
    header = (
        "NRRD0005\ntype: short\ndimension: 4\nspace: left-posterior-superior\nsizes: 3 6 7 8\n"
        "space directions: none (1,0,0) (0,1,0) (0,0,2)\nkinds: list domain domain domain\nendian: little\n"
        "encoding: raw\nspace origin: (0,0,0)\nmeasurement frame: (1,0,0) (0,1,0) (0,0,1)\n"
        "axis 0 index type:=numeric\n\n"
    )
    path = _seed(folder, "seq") / "input.seq.nrrd"
    path.write_bytes(header.encode() + frames.transpose(3, 0, 1, 2).tobytes(order="F"))
    volumes = _seed(folder, "folder") / "input"
    volumes.mkdir()
    for n in range(2):
        write_volume(_image(), volumes / f"frame {n}.nrrd")
    _dicom(_seed(folder, "dicom") / "input", slices=2, frames=2)


def _read_frames(folder: Path) -> None:
    frames = open_frames(entry(folder))
    try:
        for n in range(min(len(frames), 4)):
            frames.stamp(n), frames.frame_name(n)
            if frames.read(n).array.ndim != 3:
                raise AssertionError("a frame that is no volume")
    finally:
        frames.close()


# ---- transforms ----------------------------------------------------------------------------------------------------


def _field() -> DisplacementField:
    return DisplacementField(VECTORS, _GRID)


def _raw_field_seeds(apart_only: bool) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        made = folder.parent / f"{folder.name}.made"
        made.mkdir()
        for path in written(made):
            if (path.suffix in (".mat", ".h5")) == apart_only:
                shutil.copy(path, _seed(folder, path.name) / f"input{''.join(path.suffixes)}")
        shutil.rmtree(made)
        if not apart_only:
            np.save(_seed(folder, "sidecar") / "input.npy", VECTORS)
            convention = {"components": "RAS", "units": "mm", "content": "displacement", "direction": "resampling"}
            (folder / "sidecar" / "input.npy.json").write_text(sidecar_text(convention, _GRID))

    return write


def _read_raw_field(folder: Path) -> None:
    path = next(each for each in sorted(folder.glob("input*")) if each.suffix != ".json")
    if read_raw_field(path).array.ndim != 4:
        raise AssertionError("a field without components")


def _be_impatient() -> None:
    apart.PATIENCE_SECONDS = 15.0


def _transform_seeds(endings: Iterable[str]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for ending in endings:
            write_field(_field(), _seed(folder, ending) / f"input.{ending}")
        if "h5" in endings:
            both = sitk.CompositeTransform(3)
            both.AddTransform(sitk.AffineTransform(3))
            both.AddTransform(sitk.DisplacementFieldTransform(sitk.Cast(vector_image(), sitk.sitkVectorFloat64)))
            sitk.WriteTransform(both, str(_seed(folder, "composite") / "input.h5"))

    return write


def _affine_seeds(endings: Iterable[str]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for ending in endings:
            write_affine(AFFINE, _seed(folder, ending) / f"input.{ending}")

    return write


def _rounded_seeds(folder: Path) -> None:
    write_rounded(_field(), _seed(folder, "npz") / "input.npz")


# ---- landmarks, label names, other transforms ----------------------------------------------------------------------


def _point_seeds(folder: Path) -> None:
    point = {"id": "1", "label": "F-1", "position": [1.0, 2.0, 3.0], "positionStatus": "defined"}
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": [point, point | {"label": "F-2"}]}
    texts = {
        "mrk.json": json.dumps({"markups": [markup]}),
        "fcsv": "# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n"
        "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc\n1,1.5,2,3,0,0,0,1,1,1,0,F-1,,\n",
        "csv": "label,x,y,z\na,1,2,3\nb,4,5,6.5\n",
        "txt": "1.5 2 3\n4 5 6\n",
        "pts": "point\n2\n1 2 3\n4 5 6\n",
    }
    for ending, text in texts.items():
        (_seed(folder, ending) / f"input.{ending}").write_text(text)


def _name_seeds(folder: Path) -> None:
    texts = {
        "lut": "#No. Name R G B A\n0 Unknown 0 0 0 0\n2 Left-White-Matter 245 245 245 0\n",
        "csv": '1,"a b"\n2,c\n',
    }
    for ending, text in texts.items():
        (_seed(folder, ending) / f"input.{ending}").write_text(text)


def _segmentation_seeds(folder: Path) -> None:
    image = sitk.GetImageFromArray(_image("uint8").array.transpose(2, 1, 0).copy())
    for key, value in {"Segment0_LabelValue": "1", "Segment0_Name": "liver", "Segment0_ID": "s"}.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(_seed(folder, "seg") / "input.seg.nrrd"))


def _map_seeds(folder: Path) -> None:
    spline = sitk.BSplineTransformInitializer(vector_image(), [2, 2, 2])
    sitk.WriteTransform(spline, str(_seed(folder, "spline") / "input.tfm"))
    _transform_seeds(("nrrd",))(folder)
    write_field(_field(), _seed(folder, "modeling") / "input.nrrd", "modeling")


# ---- models --------------------------------------------------------------------------------------------------------


def _keras_seeds(folder: Path) -> None:
    from network.model_files import KerasGraph
    from pipeline.small_pair import write_small_model

    write_small_model(_seed(folder, "vxm") / "input.h5")
    KerasGraph().cvpr2018().write(_seed(folder, "cvpr") / "input.h5")
    KerasGraph(doublings=1).miccai2018().write(_seed(folder, "miccai") / "input.h5")


def _torch_seeds(folder: Path) -> None:
    from network.model_files import DATA

    for name in ("torch_vxm_dense", "torch_vxm_dense_2020"):
        shutil.copy(DATA / f"{name}.pt", _seed(folder, name) / "input.pt")


def _read_keras(folder: Path) -> None:
    read_vxm_dense(entry(folder))


def _read_original(folder: Path) -> None:
    read_original(entry(folder))


def _card_seeds(folder: Path) -> None:
    for card in Catalogue().cards():
        (_seed(folder, card.name) / "input.json").write_text(card.to_json(), encoding="utf-8")


def _read_card(folder: Path) -> None:
    card = ModelCard.from_json(entry(folder))
    if ModelCard.from_text(card.to_json(), "again") != card:
        raise AssertionError("a card that is another one when it is written and read again")


# ---- tables, manifests, jobs ---------------------------------------------------------------------------------------


def _cases_seeds(folder: Path) -> None:
    rows = {
        "pairs": "name,fixed,moving,labels,outputs,resolution\np1,input.csv,input.csv,,transform.h5 moved.nrrd,half\n",
        "sequence": "# from Excel\nname;sequence;labels;reference\nheart 3;input.csv;input.csv;4\n",
        "quoted": '\ufeffname\tfixed\tmoving\n"a ""b"""\tinput.csv\tinput.csv\n\n"c"\t"input.csv"\tinput.csv\n',
    }
    for name, text in rows.items():
        (_seed(folder, name) / "input.csv").write_text(text, encoding="utf-8")


def _read_cases(folder: Path) -> None:
    read_cases(entry(folder))


def _record() -> FrameRecord:
    motion = StructureMotion(1, 2.5, (1.0, 2.0, 3.0), 0.5, 1.5)
    return FrameRecord(
        frame=0, name="frame 0", status="registered", built_on=(0, 4), affine=tuple(map(tuple, np.eye(4).tolist())),
        structures=(motion,), files=(("fields/field_0000.npz", 1),), warnings=("a",), similarity_after=0.5,
    )  # fmt: skip


def _store_seeds(folder: Path) -> None:
    store = SequenceStore(_seed(folder, "store") / "input")
    store.begin({"options": {"keep": "float32"}, "model": "m", "reference": "r"}, {"frames": 2})
    path, _ = store.write_field(0, _field(), "int16")
    store.write_record(dataclasses.replace(_record(), files=(store.size_of(path),)))


def _read_store(folder: Path) -> None:
    store = SequenceStore(folder / "input")
    _ = store.description
    for record in store.records():
        record.is_done, record.to_json()
        store.deformation(record.frame)
    store.begin({"options": {"keep": "float32"}, "model": "m", "reference": "r"}, {"frames": 2})


def _case_seeds(folder: Path) -> None:
    case = CaseFolder(_seed(folder, "case") / "input")
    case.path.mkdir()
    (case.path / "moved.nrrd").write_bytes(b"x" * 10)
    identity = Identity({"fixed": FileState("a.nii", 1, 2, "0" * 64)}, {"model": "m"}, "0" * 64)
    attempt = Attempt("1", "host", 1, "2026-01-01T00:00:00.000+00:00")
    record = Record(
        "p1", "pair", "finished", identity=identity, outputs={"moved": {"file": "moved.nrrd", "bytes": 10}},
        quality={"ncc": 0.5}, warnings=("a",), attempts=(attempt,), versions={"numpy": "2"},
    )  # fmt: skip
    case.finish(record)
    started = {"identity": dataclasses.asdict(identity), "attempts": [dataclasses.asdict(attempt)]}
    (case.path / STARTED).write_text(json.dumps(started))


def _read_case(folder: Path) -> None:
    case = CaseFolder(folder / "input")
    record = case.finished()
    if record is not None:
        record.to_json()
        if record.identity is not None:
            record.identity.is_same(record.identity)
    case.begin(Identity({"fixed": FileState("b.nii", 1, 2, "0" * 64)}, {"model": "m"}, "0" * 64))
    if (case.path / MARKER).exists():
        raise AssertionError("a case that was begun anew counts as finished")


def _job_seeds(folder: Path) -> None:
    job = RegistrationJob(_image(), _image("float32"), fixed_mask=_image("uint8"))
    seed = _seed(folder, "registration")
    (seed / "input.json").write_text(json.dumps(exchange.pack(job, seed, name="job")))


def _read_job(folder: Path) -> None:
    exchange.unpack(RegistrationJob, json.loads((folder / "input.json").read_bytes()), folder)


def _package_seeds(folder: Path) -> None:
    installed = Installation("openvino", root=_seed(folder, "openvino")).folder
    (installed / "openvino").mkdir(parents=True)
    manifest = {
        "python": "3.11", "platform": "linux-x86_64", "packages": {"openvino": "2026.4.0"}, "host": {"numpy": "2.4"},
        "size_bytes": 5,
    }  # fmt: skip
    (installed / "manifest.json").write_text(json.dumps(manifest))


def _read_packages(folder: Path) -> None:
    Installation("openvino", root=folder, host_path=[]).status()


def _checkpoint_seeds(folder: Path) -> None:
    arrays = [_RANDOM.normal(size=(3, 3)).astype(np.float32)]
    Checkpoint(3, 1.0, "{}", arrays, arrays, arrays).write(_seed(folder, "npz") / "input.npz")


def _read_checkpoint(folder: Path) -> None:
    Checkpoint.read(entry(folder))


def _curve_seeds(folder: Path) -> None:
    text = "step,seconds,loss,residual,validation_residual,validation_harmed\n1,2,3,4,,\n2,3,3,4,0.5,0.1\n"
    (_seed(folder, "csv") / "input.csv").write_text(text)


TARGETS: dict[str, Target] = {
    "volumes": Target(_volume_seeds, _read_volume, batch=600),
    "labels": Target(_volume_seeds, _read_labels),
    "frames": Target(_frame_seeds, _read_frames, batch=400),
    "fields": Target(_raw_field_seeds(False), _read_raw_field, batch=600),
    "fields apart (.h5, .mat)": Target(_raw_field_seeds(True), _read_raw_field, prepare=_be_impatient, batch=4),
    "transforms": Target(_transform_seeds(("nrrd", "mha", "nii", "nii.gz")), lambda f: read_field(entry(f))),
    "transforms .h5": Target(_transform_seeds(("h5",)), lambda f: read_field(entry(f))),
    "affines": Target(_affine_seeds(("tfm", "txt", "mat", "h5")), lambda f: read_affine(entry(f))),
    "rounded fields": Target(_rounded_seeds, lambda f: read_rounded(entry(f)), batch=100),
    "any transform": Target(_map_seeds, lambda f: read_transform(entry(f), _GRID)),
    "landmarks": Target(_point_seeds, lambda f: read_points(entry(f))),
    "label names": Target(_name_seeds, lambda f: read_label_names(entry(f)), batch=100),
    "names of segments": Target(_segmentation_seeds, lambda f: names_in_segmentation(entry(f)), batch=100),
    "models .h5": Target(_keras_seeds, _read_keras),
    "models .h5, other families": Target(_keras_seeds, _read_original),
    "models .pt": Target(_torch_seeds, _read_original),
    "model cards": Target(_card_seeds, _read_card),
    "cases.csv": Target(_cases_seeds, _read_cases, lists=True),
    "sequence folders": Target(_store_seeds, _read_store),
    "case folders": Target(_case_seeds, _read_case),
    "jobs": Target(_job_seeds, _read_job, (Exception,), for_users=False),
    "package folders": Target(_package_seeds, _read_packages, batch=100),
    "checkpoints": Target(_checkpoint_seeds, _read_checkpoint, batch=100),
    "training curves": Target(_curve_seeds, lambda f: read_curve(entry(f)), batch=100),
}  # fmt: skip


def _misbehave(folder: Path) -> None:
    """As the file says."""
    what = (folder / "input").read_text()
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    while what == "hang":
        pass
    if what == "memory":
        np.ones(120_000_000)
    raise {"two lines": FileError("one\ntwo"), "refuse": FileError("one.")}.get(what, ValueError(what))


SELF_TEST = {"self-test": Target(lambda folder: None, _misbehave)}
"""Shows that each kind of finding is found."""


def write_seeds(folder: Path, names: Iterable[str] = TARGETS) -> None:
    """The good files of these targets, a folder for each."""
    for name in names:
        TARGETS[name].seeds(folder / name)
