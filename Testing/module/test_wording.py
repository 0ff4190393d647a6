"""What the panel says of a diagnosis that is not clear; clear ones are in `test_panel_field_import`."""

from __future__ import annotations

from typing import Any

import pytest
from VoxelMorphRegistrationLib.files.fields import RawField
from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention
from VoxelMorphRegistrationLib.pipeline.conventions.diagnosis import Candidate
from VoxelMorphRegistrationLib.pipeline.field_jobs import FieldDiagnosis

pytest.importorskip("slicer")
VOXELS = Convention()
MM = Convention(("R", "A", "S"), "mm")


@pytest.fixture(autouse=True)
def _translations(host):
    """The texts go through slicer.i18n."""


def diagnosis(*behind: float, stated: int | None = None, similarity: float = 0.9, **more: Any) -> FieldDiagnosis:
    import numpy as np

    conventions = (VOXELS, MM, Convention(content="velocity"))
    candidates = tuple(
        Candidate(conventions[n], True, n == stated, similarity, se, (), ()) for n, se in enumerate(behind)
    )
    usual = {"accepted": False, "verdict": "Not accepted: so.", "ambiguous": (), "settled_by": (), "findings": ()}
    rest = {"notes": (), "similarity_before": 0.7, "tried": 1, "seconds": 0.0, "pictures": (), "before": None}
    raw = RawField(np.zeros((4, 5, 6, 3), np.float32), "field")
    return FieldDiagnosis(candidates=candidates, raw=raw, **(usual | rest | more))


def test_what_fits_equally_well_is_named_by_its_numbers():
    from VoxelMorphRegistrationLib.panel.wording import fit_of_candidate, plain_verdict

    unclear = diagnosis(0.0, 1.0, 5.0, ambiguous=("units: voxel or mm",), settled_by=("a pair with more motion",))
    said = plain_verdict(unclear)
    assert "Numbers 1, 2 fit about equally well." in said
    assert "What would settle it: a pair with more motion." in said
    assert [fit_of_candidate(unclear, n).partition(". ")[2] for n in range(3)] == [
        "",
        "Not clearly worse than number 1.",
        "Clearly worse than number 1.",
    ]


def test_without_candidates_that_compete_the_reason_or_the_verdict_is_said():
    from VoxelMorphRegistrationLib.panel.wording import plain_verdict

    assert "Not told apart: it is dark." in plain_verdict(diagnosis(0.0, 9.0, ambiguous=("it is dark",)))
    assert "Not accepted: so." in plain_verdict(diagnosis(0.0, 9.0))


@pytest.mark.parametrize(
    ("unclear", "can", "said"),
    [
        ({"stated": 1}, False, "It may be right as it is."),
        ({}, True, "Most likely: Displacements in voxels, along the volume's axes i j k"),
        ({"similarity": 0.71}, False, "Several readings fit about equally well."),
    ],
)
def test_a_transform_whose_numbers_are_not_clear_is_mended_only_where_that_shows(unclear, can, said):
    from VoxelMorphRegistrationLib.panel.transform_diagnosis_section import _can_be_repaired, _in_plain_words

    found = diagnosis(0.0, 1.0, **unclear)
    assert _can_be_repaired(found) is can
    assert said in _in_plain_words(found)
    assert ("a repair can be undone" in _in_plain_words(found)) is can
