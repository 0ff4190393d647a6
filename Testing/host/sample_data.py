"""A stand-in for Slicer's `SampleData` module that only keeps what modules register; it downloads nothing.

`slicer.modules.sampleDataSources` holds the sources by category, as in Slicer. A keyword that Slicer's
`registerCustomSampleDataSource` does not have is an error, and so are lists of different lengths.
"""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field
from typing import Any

import slicer


@dataclass
class SampleDataSource:
    """One button of the Sample Data module, with its files."""

    sampleName: str | None = None
    uris: list[str] = field(default_factory=list)
    fileNames: list[str | None] = field(default_factory=list)
    nodeNames: list[str | None] = field(default_factory=list)
    checksums: list[str | None] = field(default_factory=list)
    loadFiles: list[bool | None] = field(default_factory=list)
    loadFileTypes: list[str | None] = field(default_factory=list)
    thumbnailFileName: str | None = None
    customDownloader: Any = None


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


class SampleDataLogic:
    @staticmethod
    def registerCustomSampleDataCategory(category: str, title: str) -> None:
        slicer.modules.sampleDataSources.setdefault(category, [])

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: str | None = None,
        loadFileTypes: Any = None,
        loadFiles: Any = None,
        loadFileProperties: Any = None,
        checksums: Any = None,
        loadFileType: Any = None,
    ) -> None:
        source = SampleDataSource(
            sampleName=sampleName,
            uris=_listed(uris),
            fileNames=_listed(fileNames),
            nodeNames=_listed(nodeNames),
            checksums=_listed(checksums),
            loadFiles=_listed(loadFiles),
            loadFileTypes=_listed(loadFileTypes or loadFileType),
            thumbnailFileName=thumbnailFileName,
            customDownloader=customDownloader,
        )
        if len(source.uris) != len(source.fileNames) and customDownloader is None:
            raise ValueError(f"{sampleName}: as many uris as fileNames are needed.")
        registered = slicer.modules.sampleDataSources.setdefault(category, [])
        if source not in registered:  # once is enough, as in Slicer
            registered.append(source)


def install() -> None:
    """Makes `import SampleData` work, with nothing registered."""
    module = sys.modules["SampleData"] = types.ModuleType("SampleData")
    vars(module).update(SampleDataLogic=SampleDataLogic, SampleDataSource=SampleDataSource)
    slicer.modules.sampleDataSources = {}
