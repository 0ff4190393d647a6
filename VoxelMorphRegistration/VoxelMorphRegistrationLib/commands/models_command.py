"""``voxelmorph-registration models``: what there is, what it is for, and whether it is here."""

from __future__ import annotations

import argparse
import json
from typing import TextIO

from VoxelMorphRegistrationLib.commands.terminal import ProgressDisplay
from VoxelMorphRegistrationLib.network.catalogue import DEFAULT_MODEL, Catalogue


def run_list(arguments: argparse.Namespace, stdout: TextIO) -> None:
    """What there is, as text or as one JSON object."""
    catalogue = Catalogue()
    cards = [(card, catalogue.is_available(card)) for card in catalogue.cards()]
    if arguments.json:
        rows = [
            {
                "name": card.name,
                "title": card.title,
                "suitable_for": card.suitable_for,
                "licence": card.licence,
                "size_bytes": card.size_bytes,
                "here": here,
                "default": card.name == DEFAULT_MODEL,
            }
            for card, here in cards
        ]
        print(json.dumps({"models": rows, "folder": str(catalogue.cache_folder)}, indent=2), file=stdout)
        return
    for card, here in cards:
        place = "here" if here else f"to be downloaded, {card.size_bytes / 1e6:.1f} MB"
        print(f"{card.name}{' (default)' if card.name == DEFAULT_MODEL else ''}: {card.title} - {place}", file=stdout)
        print(f"    {card.suitable_for}", file=stdout)
        print(f"    Licence: {card.licence}", file=stdout)
    print(f"\nDownloads are kept in {catalogue.cache_folder}.", file=stdout)


def run_download(arguments: argparse.Namespace, stdout: TextIO, stderr: TextIO) -> None:
    """Fetch and check the weights. Raises ModelError."""
    display = ProgressDisplay(stderr)
    try:
        path = Catalogue().weights_path(arguments.model, display.progress())
    finally:
        display.close()
    print(f"{arguments.model} is here and checked: {path}", file=stdout)


def run_remove(arguments: argparse.Namespace, stdout: TextIO) -> None:
    """Delete a model's downloaded weights. Raises ModelError."""
    removed = Catalogue().remove(arguments.model)
    print(
        f"{arguments.model} was removed." if removed else f"{arguments.model} was not downloaded; nothing to remove.",
        file=stdout,
    )
