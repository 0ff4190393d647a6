"""The cases file: what is read, and that everything wrong in it is told at once, with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from VoxelMorphRegistrationLib.errors import FileError
from VoxelMorphRegistrationLib.pipeline.batch import Case, command_line, read_cases, write_cases
from VoxelMorphRegistrationLib.pipeline.batch.cases_file import CasesFileError, output_names, template
from VoxelMorphRegistrationLib.pipeline.batch.columns import COLUMNS, as_table


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("a.nii.gz", "b.nii.gz", "seg.nii.gz", "net.h5"):
        (tmp_path / name).write_bytes(b"content does not matter here")
    return tmp_path


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "cases.csv"
    path.write_bytes(text.encode(encoding))
    return path


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(CasesFileError) as caught:
        read_cases(written(folder, text))
    told = [str(problem) for problem in caught.value.problems]
    assert all(line in str(caught.value) for line in told)
    return told


class TestReading:
    def test_paths_are_relative_to_the_file(self, folder, tmp_path_factory, monkeypatch):
        monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
        (case,) = read_cases(
            written(folder, "name,fixed,moving,labels,model\nx,a.nii.gz,b.nii.gz,./seg.nii.gz,net.h5\n")
        )
        assert case.inputs == {
            "fixed": str(folder / "a.nii.gz"),
            "moving": str(folder / "b.nii.gz"),
            "labels": str(folder / "seg.nii.gz"),
        }
        assert case.options == {"model": str(folder / "net.h5")}
        assert (case.kind, case.line) == ("pair", 2)

    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
    def test_as_spreadsheets_write_it(self, folder, delimiter, encoding):
        rows = [
            "name,fixed,moving,resolution,",
            "Zoë 1,a.nii.gz,b.nii.gz,half,",
            ",,,,",
            "# left out,,,,",
            "y,a.nii.gz,b.nii.gz,,",
        ]
        text = "\r\n".join(rows).replace(",", delimiter)
        cases = read_cases(written(folder, text, encoding))
        assert [(case.name, case.line, dict(case.options)) for case in cases] == [
            ("Zoë 1", 2, {"resolution": "half"}),
            ("y", 5, {}),
        ]

    def test_outputs(self, folder):
        rows = [",,", ",seg.nii.gz,", ",seg.nii.gz,inverse.nrrd moved_labels.mha"]
        text = "\n".join(f"{name},a.nii.gz,b.nii.gz{row}" for name, row in zip("abc", rows, strict=True))
        cases = read_cases(written(folder, "name,fixed,moving,labels,outputs\n" + text))
        assert [output_names(case) for case in cases] == [
            {"transform": "transform.h5", "moved": "moved.nii.gz"},
            {"transform": "transform.h5", "moved": "moved.nii.gz", "moved_labels": "moved_labels.nii.gz"},
            {"inverse": "inverse.nrrd", "moved_labels": "moved_labels.mha"},
        ]

    def test_what_is_written_is_read(self, folder):
        cases = [
            Case("one, with a comma", {"fixed": str(folder / "a.nii.gz"), "moving": str(folder / "b.nii.gz")}),
            Case(
                "two",
                {
                    "fixed": str(folder / "a.nii.gz"),
                    "moving": str(folder / "b.nii.gz"),
                    "labels": str(folder / "seg.nii.gz"),
                },
                {"resolution": "half", "outputs": "transform.nrrd"},
            ),
        ]
        cases[0] = Case("one", cases[0].inputs)
        write_cases(folder / "out.csv", cases)
        again = read_cases(folder / "out.csv")
        assert [(case.name, case.inputs, case.options) for case in again] == [
            (case.name, case.inputs, case.options) for case in cases
        ]

    def test_the_template_reads_once_its_files_are_there(self, tmp_path):
        path = tmp_path / "cases.csv"
        path.write_text(template(), encoding="utf-8")
        with pytest.raises(CasesFileError) as caught:
            read_cases(path)
        assert all("does not exist" in problem.text for problem in caught.value.problems)
        for problem in caught.value.problems:
            file = Path(problem.text.split(" does not")[0])
            file.parent.mkdir(exist_ok=True)
            file.touch()
        assert [case.kind for case in read_cases(path)] == ["pair", "pair", "sequence"]

    def test_the_documentation_has_every_column(self):
        page = (Path(__file__).resolve().parents[3] / "Docs" / "batch.md").read_text(encoding="utf-8")
        assert as_table() in page
        assert all(f"`{name}`" in page for name in COLUMNS)

    def test_the_command_is_quoted_for_a_shell(self):
        line = command_line("/data/my cases.csv", "/out", scheduler="tcp://h:8786")
        assert line == "voxelmorph-registration batch '/data/my cases.csv' --output /out --scheduler tcp://h:8786"


class TestProblems:
    def test_all_at_once_with_their_places(self, folder):
        text = (
            "name,fixed,moving,resolution,outputs,model\n"
            "good,a.nii.gz,b.nii.gz,half,,net.h5\n"
            "a/b,missing.nii.gz,b.nii.gz,hlaf,,\n"
            "Good,a.nii.gz,,,transform.xyz warp.h5 moved_labels.nii.gz,no-such-model\n"
        )
        told = problems(folder, text)
        expected = [
            "line 3, column name: 'a/b' cannot be a folder's name",
            f"line 3, column fixed: {folder / 'missing.nii.gz'} does not exist",
            "line 3, column resolution: 'hlaf' is not one of full, half, quarter",
            "line 4, column moving: is empty",
            "line 4, column model: 'no-such-model' is neither a model's name",
            "line 4, column outputs: 'transform.xyz' cannot be written in this format",
            "line 4, column outputs: 'warp.h5' is no output",
            "line 4, column outputs: moved_labels needs the column labels",
            "line 4, column name: line 2 is named good already",
        ]
        assert len(told) == len(expected)
        assert all(any(line.startswith(start) for line in told) for start in expected), told

    @pytest.mark.parametrize(
        ("header", "said"),
        [
            ("name,fixed,movng", "column movng: there is no such column; did you mean moving?"),
            ("name,fixed,moving,fixed", "column fixed: this column is there twice"),
            ("fixed,moving", "there is no name"),
            ("name", "there is no fixed and no moving"),
        ],
    )
    def test_headers(self, folder, header, said):
        assert any(said in line for line in problems(folder, header + "\nx,a.nii.gz,b.nii.gz\n"))

    def test_a_sequence_and_a_pair_are_told_apart(self, folder):
        text = (
            "name,fixed,moving,sequence,reference,mode,outputs,key_every,direction\n"
            "a,,,b.nii.gz,0,warm,,,hold\n"
            "b,a.nii.gz,b.nii.gz,,3,,,,\n"
            "c,a.nii.gz,,b.nii.gz,-1,every,transform.h5,1,\n"
        )
        told = problems(folder, text)
        assert told == [
            "line 3, column reference: '3' is for a sequence, but this row is a pair",
            "line 4, column fixed: 'a.nii.gz' is for a pair, but this row is a sequence",
            "line 4, column reference: '-1' is not a whole number of 0 or more",
            "line 4, column mode: 'every' is not one of reference, warm, chain, keyframes",
            "line 4, column outputs: 'transform.h5' is for a pair, but this row is a sequence",
            "line 4, column key_every: '1' is not a whole number of 2 or more",
        ]

    def test_no_cases(self, folder):
        assert problems(folder, "name,fixed,moving\n") == ["line 2: there are no cases; add a row for each"]
        assert "the first row must name the columns" in problems(folder, "")[0]

    def test_a_comma_that_was_not_quoted(self, folder):
        (told,) = problems(folder, "name,fixed,moving\nx,a.nii.gz,b.nii.gz,oh\n")
        assert told.startswith("line 2: cell 4, 'oh', has no column")

    @pytest.mark.parametrize("name", ["..", ".hidden", "a\\b", "CON", "nul.txt", "x" * 101, "end.", "a\x00b"])
    def test_names_that_are_no_folders(self, folder, name):
        assert any("column name" in line for line in problems(folder, f"name,fixed,moving\n{name},a.nii.gz,b.nii.gz\n"))

    def test_a_file_that_is_no_text(self, folder):
        with pytest.raises(FileError, match="not text in UTF-8"):
            read_cases(written(folder, "name,fixed,moving\nZoë,a.nii.gz,b.nii.gz\n", "latin-1"))
        with pytest.raises(FileError, match="cannot be read"):
            read_cases(folder / "none.csv")
