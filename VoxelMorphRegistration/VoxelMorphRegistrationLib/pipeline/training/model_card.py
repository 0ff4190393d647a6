"""The card of a model that was trained here."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from VoxelMorphRegistrationLib.network.card import ANY_MODALITY, IntensityPreparation, ModelCard
from VoxelMorphRegistrationLib.network.weights import file_sha256

_CITATION = (
    "Dalca AV, Balakrishnan G, Guttag J, Sabuncu MR. Unsupervised learning of probabilistic diffeomorphic registration "
    "for images and surfaces. Medical Image Analysis 57:226-236, 2019. Hoffmann M, Billot B, Greve DN, Iglesias JE, "
    "Fischl B, Dalca AV. SynthMorph: learning contrast-invariant registration without acquired images. IEEE "
    "Transactions on Medical Imaging 41(3):543-558, 2022."
)


def general_card(
    weights: Path, name: str, *, preparation: IntensityPreparation, description: str, licence: str
) -> ModelCard:
    """The card of a model for any anatomy and contrast, with its file's checksum."""
    return _checked(
        ModelCard(
            name=name,
            title="VoxelMorph any anatomy",
            description=description,
            suitable_for="Two volumes of one anatomy, any organ, any contrast. For two T1 brains without skull the "
            "brain T1 model is more accurate.",
            orientation="LIA",
            spacing_mm=(0.001, 0.001, 0.001),
            smallest_extent_mm=(0.0, 0.0, 0.0),
            largest_extent_mm=(10_000.0, 10_000.0, 10_000.0),
            shape_multiple=16,
            intensity=preparation,
            modality=ANY_MODALITY,
            skull_stripped=False,
            field_kind="velocity",
            file_name=f"{name}.h5",
            sha256=file_sha256(weights),
            size_bytes=weights.stat().st_size,
            source_url="",
            licence=licence,
            citation=_CITATION,
            any_spacing=True,
        )
    )


def adapted_card(weights: Path, start: ModelCard, name: str, title: str, description: str) -> ModelCard:
    """The card of a model fine-tuned from another: that one's, for the same kind of volumes."""
    return _checked(
        dataclasses.replace(
            start,
            name=name,
            title=title,
            description=description,
            suitable_for=f"The volumes it was adapted to, and others of the same patient and kind ({title}).",
            file_name=f"{name}.h5",
            sha256=file_sha256(weights),
            size_bytes=weights.stat().st_size,
            source_url="",
        )
    )


def _checked(card: ModelCard) -> ModelCard:
    return ModelCard.from_text(card.to_json(), f"of {card.title}")
