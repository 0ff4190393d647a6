"""The command ``train``: its options, and what it says about wrong ones."""

from __future__ import annotations

import pytest
from VoxelMorphRegistrationLib.commands import exit_codes
from VoxelMorphRegistrationLib.commands.main import main


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train"], "give --folder"),
        (["train", "--volumes", "frames"], "--volumes needs a model to adapt"),
        (["train", "--volumes", "nowhere", "--from", "default"], "nowhere"),
    ],
)
def test_wrong_options_are_one_sentence(capsys, arguments, sentence) -> None:
    try:
        code = main(arguments)
    except SystemExit as error:
        code = error.code
    assert code == exit_codes.BAD_INPUT
    assert sentence in capsys.readouterr().err


def test_an_empty_folder_of_label_maps_is_named(tmp_path, capsys) -> None:
    (tmp_path / "labels").mkdir()
    arguments = ["train", "--folder", str(tmp_path / "run"), "--labels", str(tmp_path / "labels")]
    assert main(arguments) == exit_codes.BAD_INPUT
    assert "holds no volumes" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
