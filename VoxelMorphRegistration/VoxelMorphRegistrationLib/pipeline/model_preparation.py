"""A user's own model file, ready for the catalogue: converted, compared with the original, and tried."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from VoxelMorphRegistrationLib.errors import ModelError
from VoxelMorphRegistrationLib.network.engines import available_engines
from VoxelMorphRegistrationLib.network.model_import import ImportedModel, import_model
from VoxelMorphRegistrationLib.network.probe import ProbeResult, probe_model
from VoxelMorphRegistrationLib.network.vxm_file import read_vxm_dense
from VoxelMorphRegistrationLib.network.vxm_model import with_components, with_images_exchanged
from VoxelMorphRegistrationLib.network.vxm_writer import write_vxm_dense
from VoxelMorphRegistrationLib.progress import Progress


@dataclass(frozen=True)
class PreparedModel:
    """The converted file, what its trial told (None without one), and a sentence for everything that was found."""

    model: ImportedModel
    probe: ProbeResult | None
    sentences: tuple[str, ...]


def prepare_model(path: Path, folder: Path, *, probe: bool = True, progress: Progress | None = None) -> PreparedModel:
    """Write ``path``'s network into ``folder`` as the engines run it, and try it on known warps.

    Where the trial shows that it was trained to be given the fixed image first, or gives its components in another
    order, the file is rewritten so that it is as the engines take it, and tried again. Raises ModelError, EngineError
    and FileError as `import_model` and `probe_model` do.
    """
    progress = progress or Progress()
    model = import_model(path, folder, progress.part(0.0, 0.2 if probe else 1.0))
    found = f"{path.name} is {model.family}, with {model.parameters:,} parameters."
    if not probe:
        return PreparedModel(model, None, (found, model.check, "It was not tried on known warps."))
    if not available_engines():
        return PreparedModel(model, None, (found, model.check, "Without an engine it was not tried on known warps."))
    result = probe_model(model.weights_path, progress.part(0.2, 0.6))
    sentences = (found, model.check, *result.evidence)
    if result.is_usual is False and result.direction is not None and result.axes is not None:
        network = with_components(read_vxm_dense(model.weights_path), result.axes)
        network = with_images_exchanged(network) if result.direction == "moving_to_fixed" else network
        write_vxm_dense(network, model.weights_path)
        again = probe_model(model.weights_path, progress.part(0.6, 1.0))
        if not again.is_usual:
            raise ModelError(
                f"{path.name} cannot be used: its field is not the resampling displacement in voxels along the array's "
                "axes that VoxelMorph's networks give, and could not be made one."
            )
        result = replace(again, evidence=result.evidence)
        sentences += ("The file that is used was rewritten accordingly: tried again, its field is as it should be.",)
    return PreparedModel(model, result, sentences)
