"""Reports in a real browser: Debian's chromium, without a window.

What is asserted is what the page shows and does, never how fast; every wait has minutes.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipeline.report.small_report import NASTY, write_small_report
from VoxelMorphRegistrationLib.pipeline.batch.record import Record
from VoxelMorphRegistrationLib.pipeline.batch.report import worst_first
from VoxelMorphRegistrationLib.pipeline.report.batch_report import write_batch_report
from VoxelMorphRegistrationLib.pipeline.report.provenance import Provenance

MINUTES = 5 * 60_000
"""In milliseconds, as Playwright counts."""

PHONE, DESKTOP = {"width": 390, "height": 800}, {"width": 1200, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("needs chromium (apt-get install chromium), which is not here")
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright, which drives the browser")
    with api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]  # root in a container has neither
        started = playwright.chromium.launch(executable_path=found, args=arguments, timeout=MINUTES)
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("browser") / "report é.html"
    write_small_report(path)
    return path


class Opened:
    """A page that notes whatever it should not do."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.page.set_default_timeout(MINUTES)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def pixels(self, number: int = 0) -> np.ndarray:
        """What the browser paints of the viewer's picture of this number: (rows, columns, 3)."""
        image = pytest.importorskip("PIL.Image")
        shot = self.page.locator(".viewer .stage").nth(number).screenshot(animations="disabled")
        return np.asarray(image.open(io.BytesIO(shot)).convert("RGB"), np.float64)

    def mix(self, percent: int) -> None:
        """Move the slider as a user's hand would end."""
        self.page.locator(".viewer input[type=range]").first.fill(str(percent))

    def choose(self, value: str) -> None:
        """One of the viewer's buttons."""
        self.page.locator(f".viewer input[value={value}]").first.check(force=True)


@pytest.fixture
def opened(browser, report) -> Iterator[Opened]:
    found = Opened(browser, report, viewport=DESKTOP)
    yield found
    found.page.close()


def test_nothing_is_fetched_and_nothing_goes_wrong(opened, report):
    opened.mix(80)
    opened.choose("checker")
    outside = [url for url in opened.asked if not url.startswith("data:")]
    assert outside == [report.as_uri()]
    assert opened.said == []
    assert NASTY[:8] in opened.page.title()


def test_every_picture_decodes(opened):
    sizes = opened.page.evaluate(
        """async () => Promise.all([...document.querySelectorAll("image")].map(async (each) => {
             const image = new Image(); image.src = each.getAttribute("href"); await image.decode();
             return [image.naturalWidth, image.naturalHeight]; }))"""
    )
    assert len(sizes) == 18
    assert {tuple(size) for size in sizes} == {(320, 320)}


def test_the_slider_goes_from_the_fixed_to_the_moving_volume(opened):
    opened.choose("before")  # the same volume, 12 mm farther right
    seen = {}
    for percent in (0, 50, 100):
        opened.mix(percent)
        seen[percent] = opened.pixels()
    whole = np.abs(seen[100] - seen[0]).mean()
    assert whole > 5
    assert np.abs(seen[50] - (seen[0] + seen[100]) / 2).mean() < whole / 5


def test_before_and_after(opened):
    opened.mix(0)
    fixed = opened.pixels()
    opened.mix(100)
    opened.choose("after")
    after = np.abs(opened.pixels() - fixed).mean()
    opened.choose("before")
    before = np.abs(opened.pixels() - fixed).mean()
    assert before > 3 * after


def test_the_curtain_opens_from_the_right(opened):
    opened.choose("before")
    opened.mix(0)
    fixed = opened.pixels()
    opened.mix(100)
    moving = opened.pixels()
    opened.choose("curtain")
    opened.mix(50)
    seen, half = opened.pixels(), fixed.shape[1] // 2
    assert np.abs(seen - fixed)[:, : half - 4].mean() < np.abs(seen - moving)[:, : half - 4].mean() / 5
    assert np.abs(seen - moving)[:, half + 4 :].mean() < np.abs(seen - fixed)[:, half + 4 :].mean() / 5


def test_tiles_and_differences(opened):
    opened.choose("before")
    opened.mix(0)
    fixed = opened.pixels()
    opened.mix(100)
    moving = opened.pixels()
    opened.choose("difference")
    assert np.abs(opened.pixels() - np.abs(moving - fixed)).mean() < 3
    opened.choose("checker")
    board = opened.pixels()
    size = fixed.shape[0] / 8
    apart = [np.abs(board - volume) for volume in (fixed, moving)]
    for row in range(8):
        for column in range(8):
            inside = tuple(slice(round((n + 0.2) * size), round((n + 0.8) * size)) for n in (row, column))
            moved, still = apart[1][inside].mean(), apart[0][inside].mean()
            wanted, other = (moved, still) if (row + column) % 2 == 0 else (still, moved)
            assert wanted <= other + 1, (row, column)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_it_fits_every_screen_in_light_and_dark(browser, report, scheme, viewport):
    found = Opened(browser, report, viewport=viewport, color_scheme=scheme)
    width = found.page.evaluate("document.documentElement.scrollWidth")
    brightness = found.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
    found.page.close()
    assert width <= viewport["width"]
    assert (brightness > 128) == (scheme == "light")


@pytest.fixture(scope="module")
def batch(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("batch")
    records = [
        Record(
            f"case {n} <&>",
            "pair",
            "failed" if n % 100 == 7 else "finished",
            error="It's <damaged>." if n % 100 == 7 else "",
            quality={} if n % 100 == 7 else {"similarity_after": (n * 7919 % 1000) / 1000, "folded_percent": 0.0},
            seconds={} if n % 100 == 7 else {"total": float(n)},
        )
        for n in range(1000)
    ]
    (folder / "cases" / "case 3 <&>").mkdir(parents=True)
    write_small_report(folder / "cases" / "case 3 <&>" / "report.html")
    links = {"case 3 <&>": "cases/case 3 <&>/report.html"}
    write_batch_report(folder / "report.html", NASTY, worst_first(records), links, Provenance((), "batch"))
    return folder / "report.html"


def test_a_thousand_cases_sort_by_a_click(browser, batch):
    found = Opened(browser, batch, viewport=DESKTOP)

    def names(count: int = 1000) -> list[str]:
        return found.page.evaluate(
            "n => [...document.querySelectorAll('#cases tbody tr')].slice(0, n).map(row => row.cells[0].textContent)",
            count,
        )

    def click(column: str) -> None:
        found.page.locator("#cases thead button", has_text=column).first.click()

    assert len(names()) == 1000
    assert all(name.endswith("7 <&>") for name in names(10))  # the failed ones
    click("Similarity")
    assert names(3) == ["case 0 <&>", "case 679 <&>", "case 358 <&>"]  # n * 7919 % 1000 is 0, 1, 2
    assert all(name.endswith("07 <&>") or name == "case 7 <&>" for name in names()[-10:])  # unknown, so last
    click("Similarity")
    assert names(1) == ["case 321 <&>"]
    assert all(name.endswith("07 <&>") or name == "case 7 <&>" for name in names()[-10:])
    click("Case")
    assert names(3) == ["case 0 <&>", "case 1 <&>", "case 2 <&>"]
    found.page.locator("input.find").fill("DAMAGED")
    assert found.page.locator("#cases tbody tr:visible").count() == 10
    found.page.locator("input.find").fill("case 3 <")
    found.page.locator("#cases a").click()
    found.page.wait_for_selector(".viewer")
    assert found.page.url.endswith("/report.html")
    assert "cases" in found.page.url
    assert found.said == []
    found.page.close()
