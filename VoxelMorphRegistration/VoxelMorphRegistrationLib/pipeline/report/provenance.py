"""Of what, with what and how a result was made, so that somebody else can make it again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from VoxelMorphRegistrationLib.files.frames.protocol import content_hash
from VoxelMorphRegistrationLib.network.catalogue import Catalogue
from VoxelMorphRegistrationLib.network.weights import file_sha256
from VoxelMorphRegistrationLib.pipeline.file_state import FileState
from VoxelMorphRegistrationLib.pipeline.report.markup import Child, Element, element
from VoxelMorphRegistrationLib.pipeline.report.parts import facts, hint, section
from VoxelMorphRegistrationLib.pipeline.sequence.store import readable_size
from VoxelMorphRegistrationLib.pipeline.software import machine, versions
from VoxelMorphRegistrationLib.spatial import Image


@dataclass(frozen=True)
class Source:
    """Something that a result was made of. A file's name is without its folders, which are nobody's business."""

    role: str
    """Such as "fixed", or "moving mask"."""
    name: str
    bytes: int | None
    checksum: str
    """SHA-256 of a file, or of the names and checksums of a folder's files; or BLAKE2 of an image, in words."""

    @classmethod
    def of_file(cls, role: str, path: str | os.PathLike[str]) -> Source:
        """Reads it whole. Raises FileError."""
        state = FileState.of(os.fspath(path))
        return cls(role, Path(path).name, state.bytes, f"SHA-256 {state.sha256}")

    @classmethod
    def of_image(cls, role: str, image: Image) -> Source:
        """Of a volume that lies in no file."""
        return cls(role, image.name, None, f"BLAKE2 {content_hash(image)} of the voxels and where they lie")


@dataclass(frozen=True)
class Provenance:
    """All that is to be known for making a result again."""

    sources: tuple[Source, ...]
    command: str
    """What makes the result again: a line for a shell, or for Slicer's Python console."""
    model: Mapping[str, str] = field(default_factory=dict)
    """What the model's card says, in words."""
    settings: Mapping[str, str] = field(default_factory=dict)
    engine: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=versions)
    machine: Mapping[str, str] = field(default_factory=machine)
    made: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))

    def section(self) -> Element:
        """As a part of a page."""
        steps = ", ".join(f"{step} {value:.1f} s" for step, value in self.seconds.items())
        more: dict[str, Child | list[Child]] = {
            **self.settings,
            "Engine": self.engine,
            "Time": steps,
            "Versions": ", ".join(f"{name} {version}" for name, version in self.versions.items()),
            "Machine": f"{self.machine['processor']}, {self.machine['cores']} cores; {self.machine['system']}",
        }
        return section(
            "How this was made",
            element("h3", "Inputs"),
            _sources(self.sources),
            *([element("h3", "Model"), facts(dict(self.model))] if self.model else []),
            element("h3", "Settings and machine"),
            facts(more),
            *([element("h3", "To make it again"), command(self.command)] if self.command else []),
            class_="long",
        )


def model_facts(model: str, catalogue: Catalogue | None = None) -> dict[str, str]:
    """What the card of a model (a name, or a file's path) says, and the checksum of its weights. Raises ModelError."""
    found = (catalogue or Catalogue()).find(model)
    card = found.card
    voxels = " x ".join(f"{size:g}" for size in card.spacing_mm) + " mm"
    return {
        "Name": f"{card.title} ({card.name})",
        "Made for": card.suitable_for,
        "Voxels": "of any size" if card.any_spacing else voxels,
        "Answers with": f"a {card.field_kind}",
        "Weights": f"{found.weights_path.name}, SHA-256 {file_sha256(found.weights_path)}",
        "Licence": card.licence,
        "Cite": card.citation,
    }


def command(text: str) -> Element:
    """A command with a button that copies it."""
    return element("div", element("pre", text), element("button", "Copy", type="button"), class_="command")


def _sources(sources: Sequence[Source]) -> Element:
    if not sources:
        return hint("Not known any more.")
    return facts(
        {each.role: [f"{each.name} ({_size(each)})", element("div", each.checksum, class_="hash")] for each in sources}
    )


def _size(source: Source) -> str:
    return "in memory" if source.bytes is None else readable_size(source.bytes)
