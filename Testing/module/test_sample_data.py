"""What the Sample Data module is told at startup."""

from __future__ import annotations

from pathlib import Path

import pytest
from module.support import MODULE

SLICERS_OWN = "https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/"


@pytest.mark.parametrize("slicer_5_10", [False, True], ids=["Slicer 5.12", "Slicer 5.10"])
def test_pairs_of_slicers_own_data_are_registered(host, monkeypatch, slicer_5_10):
    import SampleData

    if slicer_5_10:
        monkeypatch.delattr(SampleData.SampleDataLogic, "registerCustomSampleDataCategory")
    host.load_module(MODULE)
    assert host.slicer.modules.sampleDataSources == {}
    host.app.startupCompleted.emit()
    sources = host.slicer.modules.sampleDataSources["VoxelMorphRegistration"]
    assert [source.sampleName for source in sources] == ["T1 heads (two persons)", "T1 brain tumor (two visits)"]
    for source in sources:
        assert len(source.uris) == len(source.fileNames) == len(source.nodeNames) == len(source.checksums) == 2
        for uri, checksum, name in zip(source.uris, source.checksums, source.fileNames, strict=True):
            kind, digest = checksum.split(":")
            assert kind == "SHA256"
            assert uri == SLICERS_OWN + digest
            assert len(digest) == 64
            assert name.endswith(".nrrd")
        assert Path(source.thumbnailFileName).is_file()
