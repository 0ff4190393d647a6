"""What a diagnosis says, in words for somebody who has never heard of conventions."""

from __future__ import annotations

from slicer.i18n import tr as _

from VoxelMorphRegistrationLib.pipeline.conventions.convention import Convention
from VoxelMorphRegistrationLib.pipeline.conventions.diagnosis import Evidence
from VoxelMorphRegistrationLib.pipeline.conventions.thresholds import MARGIN

SHOWN = 3
"""How many candidates the panel shows."""


def plain_verdict(diagnosis: Evidence) -> str:
    """How a field has to be read, or what is unclear and what would settle it."""
    if diagnosis.accepted:
        lines = [_("It is clear how this field has to be read: as number 1.")]
    else:
        lines = [_("It is not clear how this field has to be read. Compare the pictures, and choose."), *why(diagnosis)]
    return "\n".join([*lines, *points(diagnosis)])


def why(diagnosis: Evidence, *, numbered: bool = True) -> list[str]:
    """Why nothing was accepted; ``numbered`` where the candidates are listed."""
    near = [str(n) for n, c in enumerate(diagnosis.candidates[:SHOWN], 1) if c.behind is not None and c.behind < MARGIN]
    if len(near) > 1:
        text = _("Numbers {numbers} fit about equally well.").format(numbers=", ".join(near))
        lines = [text if numbered else _("Several readings fit about equally well.")]
    else:
        reasons = "; ".join(diagnosis.ambiguous[:2])
        lines = [_("Not told apart: {reasons}.").format(reasons=reasons) if reasons else diagnosis.verdict]
    if diagnosis.settled_by:
        lines.append(_("What would settle it: {text}.").format(text=diagnosis.settled_by[0]))
    return lines


def points(diagnosis: Evidence) -> list[str]:
    """What is wrong with the field, point by point."""
    return [f"• {finding.message}" for finding in diagnosis.findings]


def candidate_title(diagnosis: Evidence, number: int) -> str:
    """A candidate's number and what the field would be by it."""
    return f"{number + 1}. {in_words(diagnosis.candidates[number].convention)}"


def fit_of_candidate(diagnosis: Evidence, number: int) -> str:
    """How well the volumes fit with a candidate, in one or two sentences."""
    candidate = diagnosis.candidates[number]
    lines = []
    if candidate.similarity is not None and diagnosis.similarity_before is not None:
        lines.append(
            _("Similarity {after:.2f}, without the field {before:.2f}.").format(
                after=candidate.similarity, before=diagnosis.similarity_before
            )
        )
    if number > 0 and candidate.behind is not None:
        lines.append(
            _("Clearly worse than number 1.") if candidate.behind >= MARGIN else _("Not clearly worse than number 1.")
        )
    if candidate.stated:
        lines.append(_("The file says so."))
    return " ".join(lines)


def in_words(convention: Convention) -> str:
    """A convention for a person."""
    what = {
        "displacement": _("Displacements {unit}"),
        "positions": _("Absolute positions {unit}"),
        "velocity": _("A velocity {unit}, still to be integrated"),
    }[convention.content]
    unit = {
        "voxel": _("in voxels"),
        "full voxel": _("in voxels of the full resolution"),
        "mm": _("in mm"),
        "normalised": _("in parts of the volume (-1 to 1)"),
    }[convention.units]
    along = (_("along the volume's axes {axes}") if convention.along_grid else _("towards {axes} of the body")).format(
        axes=" ".join(convention.components)
    )
    way = (
        _("from the fixed to the moving volume")
        if convention.direction == "resampling"
        else _("from the moving to the fixed volume")
    )
    more = []
    if convention.axes != ("i", "j", "k"):
        more.append(_("array axes {axes}").format(axes=" ".join(convention.axes)))
    if convention.layout == "first":
        more.append(_("components first"))
    elif convention.layout != "last":
        more.append(_("forced into another shape"))
    return ", ".join([what.format(unit=unit), along, way, *more])
