"""How long the panel keeps Slicer's main thread during a run, in the project's test host.

    python Testing/benchmarks/panel_responsiveness.py [--resolution full] [--volumes FIXED MOVING] [--model NAME]

Presses Apply in the real panel and lets a timer tick every 5 ms. Prints, for each stage that the panel shows, the
longest time between two ticks: that is how long the main thread did not come back to its event loop. ``wall`` is
what a user would feel on this machine with whatever else it does, ``busy`` is the processor time of the main thread
in it, which other programs do not change. The test host draws the panel, but no slice views.

Without the volumes and weights beside the project (``../shared/data``) it takes made-up volumes of 256 voxels along
each axis and a small network of random weights. A tool to measure with, not a timed test.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "VoxelMorphRegistration"), str(ROOT / "Testing")]
DATA = ROOT.parent / "shared" / "data"
WEIGHTS = DATA / "weights" / "vxm_dense_brain_T1_3D_mse.h5"
PAIR = [DATA / "vxm_pair" / f"{name}_t1.nii.gz" for name in ("subject_1", "test_scan")]


class Gaps:
    """The longest times between two ticks of a timer, by what the panel showed at the second one."""

    def __init__(self, stage: Any) -> None:
        import qt

        self._stage = stage
        self.longest: dict[str, tuple[float, float]] = {}
        self._last = time.perf_counter(), time.thread_time()
        self._timer = qt.QTimer()
        self._timer.setInterval(5)
        self._timer.connect("timeout()", self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now = time.perf_counter(), time.thread_time()
        gap = now[0] - self._last[0], now[1] - self._last[1]
        stage = self._stage()
        known = self.longest.get(stage, (0.0, 0.0))
        self.longest[stage] = max(known[0], gap[0]), max(known[1], gap[1])
        self._last = now

    def print(self, title: str) -> None:
        """One line for each stage, and the longest of all."""
        self._timer.stop()
        print(f"\n{title}\n  {'wall':>8} {'busy':>8}")
        for stage, (wall, busy) in self.longest.items():
            print(f"  {1000 * wall:5.0f} ms {1000 * busy:5.0f} ms  {stage}")
        wall, busy = (max(values) for values in zip(*self.longest.values(), strict=True))
        print(f"  {1000 * wall:5.0f} ms {1000 * busy:5.0f} ms  longest")


def volumes(paths: list[Path] | None) -> list[Any]:
    """Two volume nodes: files, or made up."""
    from host import scene
    from pipeline.small_pair import small_volume
    from VoxelMorphRegistrationLib.slicer_bridge.volumes import volume_node_from_image

    if paths or all(path.exists() for path in PAIR):
        return [scene.read_node_file(path) for path in paths or PAIR]
    return [volume_node_from_image(small_volume(f"made up {mm}", mm, shape=(256, 256, 256))) for mm in (0, 6)]


def main() -> None:
    """Measure a cold and a warm run with all outputs, and what choosing a volume costs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--volumes", nargs=2, type=Path, metavar=("FIXED", "MOVING"))
    parser.add_argument("--resolution", default="full")
    parser.add_argument("--model", help="name of a catalogue model; default: VoxelMorph's, or one of random weights")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["VOXELMORPH_REGISTRATION_CACHE"] = cache
        measure(arguments, Path(cache))


def measure(arguments: argparse.Namespace, cache: Path) -> None:
    """The same in a cache folder of its own."""
    import host
    from host import user

    host.start()
    import slicer

    model = arguments.model
    if WEIGHTS.exists():
        shutil.copy(WEIGHTS, cache)
    elif model is None:
        from module.support import add_small_model

        model = add_small_model(cache)
    widget = host.show(host.load_module(ROOT / "VoxelMorphRegistration" / "VoxelMorphRegistration.py"))
    panel, ui = widget.panel, widget.panel.ui
    fixed, moving = volumes(arguments.volumes)
    parameters = widget.logic.getParameterNode()
    parameters.resolution = type(parameters.resolution)(arguments.resolution)
    if model is not None:
        parameters.model = model
    gaps = Gaps(lambda: ui.statusLabel.text or "idle")
    user.choose(ui.fixedVolumeSelector, fixed)
    user.choose(ui.movingVolumeSelector, moving)
    for selector in (ui.outputTransformSelector, ui.outputInverseTransformSelector, ui.outputVolumeSelector):
        selector.addNode()
    user.process_events(3.0)
    gaps.print("Choosing the volumes, and the check whether they fit the model")
    for title in ("Cold run", "Warm run"):
        gaps = Gaps(lambda: ui.statusLabel.text or "idle")
        user.click(ui.applyButton)
        user.wait_until(lambda: not panel.control.busy, 600)
        user.process_events(0.2)
        shape = " x ".join(map(str, fixed.GetImageData().GetDimensions()))
        gaps.print(f"{title}, {shape} voxels, {arguments.resolution} resolution, all outputs")
    widget.cleanup()
    slicer.mrmlScene.Clear(False)


if __name__ == "__main__":
    main()
