"""The module's logic, for the Python console and for scripts: what the module can do with nodes of a scene.

Nothing is computed here: a method hands its arguments, by the library's names, to `slicer_bridge`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

if TYPE_CHECKING:
    from VoxelMorphRegistrationLib.network.tensor import AxisOrder, Layout
    from VoxelMorphRegistrationLib.pipeline.quality.results import CheckResult
    from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions, RegistrationResult
    from VoxelMorphRegistrationLib.pipeline.sequence import FrameRecord, SequenceOptions
    from VoxelMorphRegistrationLib.pipeline.sequence.options import Direction as SequenceDirection
    from VoxelMorphRegistrationLib.pipeline.sequence.options import Keep as SequenceStorage
    from VoxelMorphRegistrationLib.pipeline.sequence.options import Mode as SequenceMode
    from VoxelMorphRegistrationLib.progress import Progress
    from VoxelMorphRegistrationLib.slicer_bridge.adaptation import AdaptationRequest, AdaptationRun
    from VoxelMorphRegistrationLib.slicer_bridge.batch_results import LoadedCases
    from VoxelMorphRegistrationLib.slicer_bridge.field_import import Choice
    from VoxelMorphRegistrationLib.slicer_bridge.field_running import ExaminedTransform, ImportedField
    from VoxelMorphRegistrationLib.slicer_bridge.grid_transforms import Direction
    from VoxelMorphRegistrationLib.slicer_bridge.registration import FieldKind, OutputGrid, RegistrationNodes
    from VoxelMorphRegistrationLib.slicer_bridge.running import RegistrationRun
    from VoxelMorphRegistrationLib.slicer_bridge.sequence_running import SequenceFindings, SequenceRequest, SequenceRun
    from VoxelMorphRegistrationLib.spatial.pre_alignment import Kind


@dataclass(frozen=True)
class RegistrationOutcome:
    """What `VoxelMorphRegistrationLogic.process` returns: the nodes it wrote, None where not asked for, and the result.

    `result` has the similarity before and after, the share of folded voxels, warnings, times and the
    deformation.
    """

    outputTransform: Any
    outputAffineTransform: Any
    outputInverseTransform: Any
    outputVolume: Any
    result: RegistrationResult

    def summary(self) -> str:
        """One line for the status bar."""
        return self.result.summary()


@dataclass(frozen=True)
class SequenceOutcome:
    """What `VoxelMorphRegistrationLogic.registerSequence` returns; nodes are None where they were not asked for.

    The transform is the proxy node: what is put under it moves as `browser` plays. `carriedNodes` are the proxy nodes
    of what was carried, in the order in which it was given. `worstFrames` are the least similar to the reference, worst
    first: look at these. In `chartNodes`, each chart comes after its plot series.
    """

    browser: Any
    transformSequence: Any
    transform: Any
    carriedSequences: tuple[Any, ...]
    carriedNodes: tuple[Any, ...]
    table: Any
    chartNodes: tuple[Any, ...]
    referenceFrame: int
    worstFrames: tuple[int, ...]
    frames: tuple[FrameRecord, ...]
    warnings: tuple[str, ...]
    text: str

    @classmethod
    def of(cls, findings: SequenceFindings) -> SequenceOutcome:
        """From what `slicer_bridge` tells."""
        nodes, summary = findings.nodes, findings.summary
        return cls(
            nodes.browser,
            nodes.transforms.node if nodes.transforms is not None else None,
            nodes.transforms.proxy if nodes.transforms is not None else None,
            tuple(output.node for output in nodes.carried),
            tuple(output.proxy for output in nodes.carried),
            nodes.table,
            nodes.charts,
            summary.reference,
            summary.worst,
            findings.records,
            (*summary.warnings, *nodes.warnings),
            findings.text(),
        )

    def summary(self) -> str:
        """One line for the status bar."""
        return self.text


@dataclass(frozen=True)
class CheckOutcome:
    """What `VoxelMorphRegistrationLogic.checkRegistration` returns: the nodes it wrote, and all numbers in `result`.

    `result.verdict` is the sentence to read first, `result.level` is "good", "look" or "bad".
    """

    table: Any
    jacobianVolume: Any
    magnitudeVolume: Any
    inverseErrorVolume: Any
    result: CheckResult

    def summary(self) -> str:
        """One line for the status bar."""
        return self.result.verdict


class VoxelMorphRegistrationLogic(ScriptedLoadableModuleLogic):  # type: ignore[misc]  # slicer has no types
    """Registers volume nodes; usable from any script, without the module's panel.

    Whatever goes wrong is raised as a RegistrationError, whose text is meant for the user, and leaves the
    scene as it was. Positions are the world's: parent transforms of the inputs are taken into account,
    output nodes have none.
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)

    def getParameterNode(self) -> Any:
        """The panel's choices, which are saved with the scene."""
        from VoxelMorphRegistrationLib.panel.parameters import RegistrationParameters

        return RegistrationParameters(super().getParameterNode())  # type: ignore[call-arg]  # made by a wrapper

    def process(
        self,
        fixedVolume: Any,
        movingVolume: Any,
        outputTransform: Any = None,
        outputInverseTransform: Any = None,
        outputVolume: Any = None,
        *,
        outputAffineTransform: Any = None,
        model: str = "voxelmorph-default",
        engine: str = "auto",
        preAlignment: Kind = "affine",
        resolution: str = "full",
        intensity: str = "card",
        refineSeconds: float = 0,
        outputGrid: OutputGrid = "full",
        direction: Direction = "resampling",
        fixedMask: Any = None,
        movingMask: Any = None,
        report: str | Path | None = None,
        progressCallback: Callable[[str, float], None] | None = None,
        isCancelled: Callable[[], bool] | None = None,
    ) -> RegistrationOutcome:
        """Register the moving volume to the fixed volume.

        :param fixedVolume: scalar volume node that stays where it is.
        :param movingVolume: scalar volume node that is to lie on it.
        :param outputTransform: any transform node. The moving volume, put under it, lies on the fixed volume.
          A new grid transform node is made if no output is given at all.
        :param outputInverseTransform: transform node that moves the fixed volume onto the moving one: the
          network's own inverse, better than Slicer's numerical inversion.
        :param outputVolume: scalar volume node for the moving volume resampled to the voxels of the fixed
          one.
        :param outputAffineTransform: transform node that takes the affine pre-alignment, apart from the
          field. It is put under `outputTransform`, and the moving volume goes under it.
        :param model: a model's name in the catalogue, or the path of a VoxelMorph `.h5` file.
        :param engine: "auto", "openvino" or "tensorflow".
        :param preAlignment: "none", "centre", "rigid" or "affine".
        :param resolution: resolution at which the network runs: "full", "half" or "quarter".
        :param intensity: "card" to prepare the intensities as the model's card says, or "none".
        :param refineSeconds: how long to refine the network's field on this very pair; 0 for not at all.
        :param outputGrid: "full" for fields on the volume's voxels, "network" for the network's coarser
          ones, which take an eighth of the memory.
        :param direction: "resampling" stores the transform from parent, on the fixed volume's geometry,
          exact for images; "modeling" to parent, on the moving volume's geometry, exact for points and
          models. Slicer inverts either where it needs the other.
        :param fixedMask: labelmap or segmentation node of the part of the fixed volume that counts.
        :param movingMask: the same for the moving volume.
        :param report: path of an `.html` file for a report, with pictures and measures, to be opened in a browser.
        :param progressCallback: called with a text and the part done, 0 to 1.
        :param isCancelled: asked between steps; a true value ends with a CancelledError.
        :raises RegistrationError: with a sentence for the user; nothing is left behind then.
        """
        from VoxelMorphRegistrationLib.slicer_bridge.registration import RegistrationNodes
        from VoxelMorphRegistrationLib.slicer_bridge.running import register_nodes

        nodes = RegistrationNodes(
            fixedVolume, movingVolume, fixedMask, movingMask,
            transform=outputTransform,
            affine_transform=outputAffineTransform,
            inverse_transform=outputInverseTransform,
            volume=outputVolume,
            direction=direction,
            output_grid=outputGrid,
        )  # fmt: skip
        options = self.options(nodes, model, engine, preAlignment, resolution, intensity, refineSeconds)
        progress = _progress(progressCallback, isCancelled)
        written, result = register_nodes(nodes, options, progress, None if report is None else Path(report))
        logging.info(result.summary())
        return RegistrationOutcome(
            written.transform, written.affine_transform, written.inverse_transform, written.volume, result
        )

    def start(
        self, nodes: RegistrationNodes, engineFolders: Sequence[Path], *, keepFiles: bool = False, **choices: Any
    ) -> RegistrationRun:
        """Begin a registration and return at once; the panel's way. `choices` are those of `options`."""
        from VoxelMorphRegistrationLib.slicer_bridge.running import RegistrationRun

        return RegistrationRun(nodes, self.options(nodes, **choices), engineFolders, keep_files=keepFiles)

    def options(
        self,
        nodes: RegistrationNodes,
        model: str,
        engine: str,
        preAlignment: Kind,
        resolution: str,
        intensity: str,
        refineSeconds: float = 0,
    ) -> RegistrationOptions:
        """The library's options; what they mean is said in `process`. Raises InputError for unknown ones."""
        from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions

        return RegistrationOptions(
            model=str(model),
            engine=engine,
            pre_align=preAlignment,
            resolution=resolution,
            intensity=intensity,
            inverse=nodes.needs_inverse,
            refine_seconds=float(refineSeconds),
        )

    def gridTransformFromTensor(
        self,
        tensor: Any,
        referenceVolume: Any,
        direction: Direction = "resampling",
        outputTransform: Any = None,
        *,
        axisOrder: AxisOrder = "ijk",
        fieldKind: FieldKind = "displacement",
        layout: Layout | Literal["auto"] = "auto",
    ) -> Any:
        """Make a transform node of the displacement field that a VoxelMorph network returned.

        :param tensor: NumPy, PyTorch or TensorFlow tensor, (1, 3, D, H, W), (1, D, H, W, 3) or either
          without the 1, of displacements in voxels, at the reference volume's resolution, half or a quarter
          of it.
        :param referenceVolume: the volume node on whose voxels the tensor lies: the fixed volume for
          "resampling", the moving one for "modeling".
        :param direction: "resampling" for what VoxelMorph returns: the field says where in the moving image
          to sample. "modeling" for a field that says where the moving volume's points go.
        :param outputTransform: any transform node; a new grid transform node is made if none is given.
        :param axisOrder: order of the tensor's axes D, H, W and of its components: "ijk" if the network was
          given arrays read by nibabel, as VoxelMorph's own scripts do; "kji" for arrays of
          `slicer.util.arrayFromVolume` or SimpleITK.
        :param fieldKind: "displacement", or "velocity" for a stationary velocity field, which is integrated.
        :param layout: "channels_first" or "channels_last", where the shape alone does not tell.
        :return: the transform node. Put the moving volume under it.
        :raises RegistrationError: with a sentence for the user; nothing is left behind then.
        """
        from VoxelMorphRegistrationLib.slicer_bridge.registration import write_tensor

        return write_tensor(
            tensor,
            referenceVolume,
            outputTransform,
            direction,
            axis_order=axisOrder,
            kind=fieldKind,
            layout=layout,
        )

    def importDisplacementField(
        self,
        pathOrArray: Any,
        fixedVolume: Any,
        movingVolume: Any = None,
        outputTransform: Any = None,
        *,
        key: str | None = None,
        components: str | None = None,
        units: str | None = None,
        content: str | None = None,
        direction: str | None = None,
        axes: str | None = None,
        layout: str | None = None,
        placement: str | None = None,
        candidate: Choice = None,
        repair: Sequence[str] = (),
        outputAffineTransform: Any = None,
        fixedMask: Any = None,
        movingMask: Any = None,
        progressCallback: Callable[[str, float], None] | None = None,
        isCancelled: Callable[[], bool] | None = None,
    ) -> ImportedField:
        """Make a transform node of any displacement field, whatever its numbers mean: that is found out.

        :param pathOrArray: a file (npy, npz, pt, mat, NIfTI, mgz, NRRD, MetaImage, ITK transform), or a NumPy array,
          PyTorch or TensorFlow tensor.
        :param fixedVolume: the volume that stayed when the field was computed.
        :param movingVolume: the volume that was moved; with it every convention is tried. Without it only what the
          file states, or what is given below, is accepted.
        :param outputTransform: any transform node; a new grid transform node is made if none is given. Put the moving
          volume under it.
        :param key: which array, in files that hold several.
        :param components: if known, the axis of each component: "ijk", "kji", "-ij-k", "RAS", "LPS" ...
        :param units: if known, "voxel", "full voxel", "mm" or "normalised".
        :param content: if known, "displacement", "positions" or "velocity".
        :param direction: if known, "resampling" (fixed to moving) or "modeling" (moving to fixed).
        :param axes: if known, the grid axis of each axis of the array: "ijk", "kji" ...
        :param layout: if known, where the components are: "first" or "last".
        :param placement: if known, whose voxels these are: the file's "own", the "fixed" or "moving" volume's.
        :param candidate: the number (from 1) of the listed candidate to take, where none is accepted.
        :param repair: any of "fill not finite", "unfold", "taper border" and "split affine".
        :param outputAffineTransform: transform node for the linear part, with repair "split affine".
        :param fixedMask: labelmap or segmentation node of the part of the fixed volume that counts.
        :param movingMask: the same for the moving volume, such as the brain where the fixed volume has no skull.
        :param progressCallback: called with a text and the part done, 0 to 1.
        :param isCancelled: asked often; a true value ends with a CancelledError.
        :return: the `node`, the evidence (`diagnosis`) and the field (`meant`, with `findings` and what was `done`).
        :raises RegistrationError: an InputError with the evidence where nothing was accepted; the scene is as it was.
        """
        from VoxelMorphRegistrationLib.slicer_bridge.field_running import import_displacement_field

        known = {
            "components": components, "units": units, "content": content, "direction": direction,
            "axes": axes, "layout": layout, "placement": placement,
        }  # fmt: skip
        return import_displacement_field(
            pathOrArray,
            fixedVolume,
            movingVolume,
            outputTransform,
            given={name: value for name, value in known.items() if value is not None},
            key=key,
            choice=candidate,
            repair=repair,
            affine_node=outputAffineTransform,
            masks=(fixedMask, movingMask),
            progress=_progress(progressCallback, isCancelled),
        )

    def diagnoseTransform(
        self,
        transformNode: Any,
        fixedVolume: Any,
        movingVolume: Any = None,
        *,
        fixedMask: Any = None,
        movingMask: Any = None,
        progressCallback: Callable[[str, float], None] | None = None,
        isCancelled: Callable[[], bool] | None = None,
    ) -> ExaminedTransform:
        """What is wrong with a grid transform that is in the scene: nothing is changed.

        :param transformNode: the transform; the moving volume may lie under it.
        :param fixedMask: labelmap or segmentation node of the part of the fixed volume that counts.
        :param movingMask: the same for the moving volume.
        :return: `is_right`; `findings`, the causes as sentences; `diagnosis`, the evidence; `repair()` mends the
          transform, `undo()` puts back what it held.
        :raises RegistrationError: for a transform that holds no grid, or volumes that cannot be used.
        """
        from VoxelMorphRegistrationLib.slicer_bridge.field_running import diagnose_transform

        progress = _progress(progressCallback, isCancelled)
        return diagnose_transform(transformNode, fixedVolume, movingVolume, progress, (fixedMask, movingMask))

    def checkRegistration(
        self,
        fixedVolume: Any,
        movingVolume: Any,
        transformNode: Any,
        fixedSegmentation: Any = None,
        movingSegmentation: Any = None,
        fixedMarkups: Any = None,
        movingMarkups: Any = None,
        jacobianVolume: Any = None,
        magnitudeVolume: Any = None,
        *,
        inverseTransform: Any = None,
        inverseErrorVolume: Any = None,
        fixedMask: Any = None,
        resultTable: Any = None,
        report: str | Path | None = None,
        progressCallback: Callable[[str, float], None] | None = None,
        isCancelled: Callable[[], bool] | None = None,
    ) -> CheckOutcome:
        """Measure a registration, whoever made it.

        :param transformNode: any transform that, put over the moving volume, moves it onto the fixed one. It makes no
          difference whether the moving nodes lie under it.
        :param fixedSegmentation, movingSegmentation: segmentation or labelmap nodes; segments belong together by their
          names, labels of labelmaps by their numbers.
        :param fixedMarkups, movingMarkups: point lists; points belong together by their labels where these are the same
          on both sides, else by their order.
        :param jacobianVolume: scalar volume node for the Jacobian determinant (1 keeps volume, 0 or less folds).
        :param magnitudeVolume: scalar volume node for the length of the displacement in mm.
        :param inverseTransform: transform that moves the fixed volume onto the moving one.
        :param inverseErrorVolume: scalar volume node for how far, in mm, points come back from where they were.
        :param fixedMask: labelmap or segmentation node of the part of the fixed volume that counts.
        :param resultTable: table node for the numbers; a new one is made if none is given.
        :param report: path of an `.html` file for a report, with pictures and measures, to be opened in a browser.
        :param progressCallback: called with a text and the part done, 0 to 1.
        :param isCancelled: asked between steps; a true value ends with a CancelledError.
        :raises RegistrationError: with a sentence for the user; nothing is left behind then.
        """
        from VoxelMorphRegistrationLib.slicer_bridge.checking import CheckNodes, check_nodes

        nodes = CheckNodes(
            fixedVolume, movingVolume, transformNode,
            fixedSegmentation, movingSegmentation, fixedMarkups, movingMarkups,
            inverse=inverseTransform,
            fixed_mask=fixedMask,
            jacobian=jacobianVolume,
            magnitude=magnitudeVolume,
            inverse_error=inverseErrorVolume,
            table=resultTable,
        )  # fmt: skip
        progress = _progress(progressCallback, isCancelled)
        written, result = check_nodes(nodes, progress, None if report is None else Path(report))
        logging.info(result.verdict)
        return CheckOutcome(written.table, jacobianVolume, magnitudeVolume, inverseErrorVolume, result)

    def registerSequence(
        self,
        sequenceBrowserOrSequence: Any,
        referenceFrame: int | None = None,
        *,
        direction: SequenceDirection = "carry",
        mode: SequenceMode = "reference",
        carriedNodes: Sequence[Any] = (),
        outputTransforms: bool = True,
        closedSurface: bool | None = None,
        storage: SequenceStorage = "float32",
        storageFolder: str | Path | None = None,
        keyFrames: int = 4,
        keyFrameChoice: Literal["regular", "content"] = "regular",
        model: str = "voxelmorph-default",
        engine: str = "auto",
        preAlignment: Kind = "none",
        resolution: str = "full",
        intensity: str = "card",
        progressCallback: Callable[[str, float], None] | None = None,
        isCancelled: Callable[[], bool] | None = None,
    ) -> SequenceOutcome:
        """Register every frame of a volume sequence with one of them, and add what plays with it to its browser.

        :param sequenceBrowserOrSequence: sequence node of scalar volumes, or a sequence browser that plays one.
        :param referenceFrame: the frame with which the others are registered, counted from 0; None for the one nearest
          the middle of the motion. It must be given where nodes are carried: they belong to it.
        :param direction: "carry" for transforms that carry what belongs to the reference to every frame; "hold" for
          transforms that hold every frame still on the reference.
        :param mode: "reference" for each frame with the reference; "warm" for the same, starting from the neighbour's
          result; "chain" for frame to frame, composed; "keyframes" for one frame in `keyFrames`, those between
          interpolated (`keyFrameChoice` "regular", or "content" for as many where the motion turns).
        :param carriedNodes: segmentation, labelmap, model and markup nodes of the reference frame. Of each there will
          be a sequence in the browser, with an editable node for each frame, no transform above it.
        :param outputTransforms: make the sequence of transforms. What lies under its proxy node moves as it plays.
        :param closedSurface: whether carried segmentations have surfaces; None: where the reference's has.
        :param storage: "float32" or "int16" to keep each frame's field, "results" to keep only what is carried: one
          segmentation without overlaps, or one labelmap, and no transforms.
        :param storageFolder: keeps all results in this folder, where the same call goes on with a run that was stopped;
          None for a temporary folder.
        :param model, engine, preAlignment, resolution, intensity: see `process`, for each frame.
        :param progressCallback: called with a text and the part done, 0 to 1.
        :param isCancelled: asked often; a true value ends with a CancelledError.
        :raises RegistrationError: with a sentence for the user; the scene is then as it was. A frame that cannot be
          registered stops nothing: it is among the outcome's warnings.
        """
        from VoxelMorphRegistrationLib.slicer_bridge.sequence_running import SequenceRequest, register_sequence_nodes

        options = self.sequenceOptions(
            referenceFrame, direction, mode, storage, keyFrames, keyFrameChoice,
            model=model, engine=engine, preAlignment=preAlignment, resolution=resolution, intensity=intensity,
        )  # fmt: skip
        request = SequenceRequest(
            sequenceBrowserOrSequence,
            options,
            carried=tuple(carriedNodes),
            transforms=outputTransforms,
            closed_surface=closedSurface,
            folder=None if storageFolder is None else Path(storageFolder).expanduser(),
        )
        findings = register_sequence_nodes(request, _progress(progressCallback, isCancelled))
        logging.info(findings.text())
        return SequenceOutcome.of(findings)

    def startSequence(self, request: SequenceRequest, engineFolders: Sequence[Path]) -> SequenceRun:
        """Begin the same and return at once; the panel's way."""
        from VoxelMorphRegistrationLib.slicer_bridge.sequence_running import SequenceRun

        return SequenceRun(request, engineFolders)

    def suggestReferenceFrame(
        self,
        sequenceBrowserOrSequence: Any,
        progressCallback: Callable[[str, float], None] | None = None,
        isCancelled: Callable[[], bool] | None = None,
    ) -> int:
        """The frame of a volume sequence nearest the middle of the motion, counted from 0."""
        from VoxelMorphRegistrationLib.slicer_bridge.sequence_running import suggested_reference

        return suggested_reference(sequenceBrowserOrSequence, _progress(progressCallback, isCancelled))

    def saveSequence(self, sequence: Any, path: str | Path) -> list[Path]:
        """Write a sequence's frames to one `.seq.nrrd` file (transforms, volumes, labelmaps) or into a folder.

        In a folder there is a file for each frame: .nrrd, .seg.nrrd, .vtk or .mrk.json. Returns the files.
        """
        from VoxelMorphRegistrationLib.slicer_bridge.sequence_files import save_sequence

        return save_sequence(sequence, path)

    def writeClusterFiles(self, request: SequenceRequest, folder: str | Path) -> list[str]:
        """Write a sequence as a case of a batch into a folder; returns the command that runs the batch."""
        from VoxelMorphRegistrationLib.slicer_bridge.sequence_batch import ClusterFiles

        return ClusterFiles(request, Path(folder)).write()

    def loadBatchResults(
        self,
        folder: str | Path,
        sequenceBrowserOrSequence: Any = None,
        progressCallback: Callable[[str, float], None] | None = None,
        isCancelled: Callable[[], bool] | None = None,
    ) -> LoadedCases:
        """The transforms and carried segmentations in a batch's output folder, as nodes and sequences.

        :param sequenceBrowserOrSequence: gets the results of the case that has its name and number of frames; the
          others get a browser of their own.
        """
        from VoxelMorphRegistrationLib.slicer_bridge.batch_results import load_batch
        from VoxelMorphRegistrationLib.slicer_bridge.sequences import SequenceOfVolumes

        chosen = sequenceBrowserOrSequence
        volumes = None if chosen is None else SequenceOfVolumes.of(chosen)
        return load_batch(Path(folder), volumes, _progress(progressCallback, isCancelled))

    def adaptModel(
        self,
        sequenceBrowserOrVolumes: Any,
        minutes: float = 10,
        title: str = "",
        model: str = "voxelmorph-default",
        *,
        resolution: str = "half",
        progressCallback: Callable[[str, float], None] | None = None,
        isCancelled: Callable[[], bool] | None = None,
    ) -> str:
        """Adapt a model to the volumes of one patient; returns the new model's name, which `process` takes.

        :param sequenceBrowserOrVolumes: sequence node of scalar volumes, a sequence browser that plays one, or a list
          of scalar volume nodes that lie on one another. Of more than 60, 60 spread evenly are taken.
        :param minutes: how long to train; preparing the volumes and compiling the network comes on top, a minute or so.
        :param title: what the new model is called; empty: after the volumes.
        :param model: the model to begin with: a name in the catalogue (or "default"), or a VxmDense `.h5` file, that
          gives a velocity at half resolution, as the two that come with the module do.
        :param resolution: at which it will be used: "full", "half" or "quarter".
        :param progressCallback: called with a text and the part done, 0 to 1.
        :param isCancelled: asked often; a true value ends with a CancelledError.
        :raises RegistrationError: with a sentence for the user, also where nothing was gained; then there is no new
          model. Needs the TensorFlow engine; where it is not installed, the user is asked.
        """
        from VoxelMorphRegistrationLib.slicer_bridge.adaptation import adapt_model

        request = self.adaptationRequest(sequenceBrowserOrVolumes, minutes, title, model, resolution)
        card = adapt_model(request, _progress(progressCallback, isCancelled))
        logging.info(card.description)
        return card.name

    def startAdaptation(self, request: AdaptationRequest, engineFolders: Sequence[Path]) -> AdaptationRun:
        """Begin the same and return at once; the panel's way."""
        from VoxelMorphRegistrationLib.slicer_bridge.adaptation import AdaptationRun

        return AdaptationRun(request, engineFolders)

    def adaptationRequest(
        self, sequenceBrowserOrVolumes: Any, minutes: float, title: str, model: str, resolution: str
    ) -> AdaptationRequest:
        """What `adaptModel` means by these. Raises InputError for what cannot be."""
        from VoxelMorphRegistrationLib.pipeline.training.fine_tuning import Adaptation
        from VoxelMorphRegistrationLib.slicer_bridge.adaptation import AdaptationRequest

        options = Adaptation(minutes=float(minutes), resolution=resolution, threads=os.cpu_count() or 1)
        return AdaptationRequest(sequenceBrowserOrVolumes, title, str(model), options)

    def sequenceOptions(
        self,
        referenceFrame: int | None,
        direction: SequenceDirection,
        mode: SequenceMode,
        storage: SequenceStorage,
        keyFrames: int = 4,
        keyFrameChoice: Literal["regular", "content"] = "regular",
        *,
        model: str,
        engine: str,
        preAlignment: Kind,
        resolution: str,
        intensity: str,
    ) -> SequenceOptions:
        """The library's options; what they mean is said in `registerSequence`. Raises InputError for unknown ones."""
        from VoxelMorphRegistrationLib.pipeline.registration import RegistrationOptions
        from VoxelMorphRegistrationLib.pipeline.sequence import SequenceOptions

        registration = RegistrationOptions(
            model=str(model), engine=engine, pre_align=preAlignment, resolution=resolution, intensity=intensity
        )
        return SequenceOptions(referenceFrame, direction, mode, registration, keyFrames, keyFrameChoice, keep=storage)


def _progress(report: Callable[[str, float], None] | None, is_cancelled: Callable[[], bool] | None) -> Progress:
    from VoxelMorphRegistrationLib.progress import Progress

    given: dict[str, Any] = {"report": report, "is_cancelled": is_cancelled}
    return Progress(**{name: call for name, call in given.items() if call is not None})
