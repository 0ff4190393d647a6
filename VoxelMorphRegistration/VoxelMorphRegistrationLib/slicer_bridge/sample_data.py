"""Data to try the module with, for Slicer's Sample Data module.

Slicer's own testing data only: addresses and checksums are those in Slicer's ``SampleData.py`` of 5.10, 5.12 and
main, where the volumes are part of the data sets MRHead, CT-MR Brain, MRBrainTumor1 and MRBrainTumor2.
"""

from __future__ import annotations

from dataclasses import dataclass

_CATEGORY = "VoxelMorphRegistration"


@dataclass(frozen=True)
class _Volume:
    name: str
    file_name: str
    sha256: str


_PAIRS = {
    # Heads of two persons, T1-weighted, with skull: give brain masks.
    "T1 heads (two persons)": (
        _Volume("MRHead", "MR-head.nrrd", "cc211f0dfd9a05ca3841ce1141b292898b2dd2d3f08286affadf823a7e58df93"),
        _Volume("MRBrainT1", "MR-brain-T1.nrrd", "2da3f655ed20356ee8cdf32aa0f8f9420385de4b6e407d28e67f9974d7ce1593"),
    ),
    # One patient, baseline and follow-up of a tumor, with skull.
    "T1 brain tumor (two visits)": (
        _Volume(
            "MRBrainTumor1", "RegLib_C01_1.nrrd", "998cb522173839c78657f4bc0ea907cea09fd04e44601f17c82ea27927937b95"
        ),
        _Volume(
            "MRBrainTumor2", "RegLib_C01_2.nrrd", "1a64f3f422eb3d1c9b093d1a18da354b13bcf307907c66317e2463ee530b7a97"
        ),
    ),
}


def register_sample_data(title: str, thumbnail: str) -> None:
    """Add the pairs to the Sample Data module, under ``title``; ``thumbnail`` is the path of a picture."""
    import SampleData  # type: ignore[import-not-found]  # a module of Slicer
    import slicer

    logic = SampleData.SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):  # Slicer 5.12; before, the category is shown as it is
        logic.registerCustomSampleDataCategory(_CATEGORY, title=title)
    for name, volumes in _PAIRS.items():
        logic.registerCustomSampleDataSource(
            category=_CATEGORY,
            sampleName=name,
            thumbnailFileName=thumbnail,
            uris=[f"{slicer.util.TESTING_DATA_URL}SHA256/{volume.sha256}" for volume in volumes],
            fileNames=[volume.file_name for volume in volumes],
            nodeNames=[volume.name for volume in volumes],
            checksums=[f"SHA256:{volume.sha256}" for volume in volumes],
        )
