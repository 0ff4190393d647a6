"""Pages: nothing gets out of its place, nothing is fetched, nothing is half written."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import pytest
from pipeline.report.small_report import NASTY, write_small_report
from VoxelMorphRegistrationLib.errors import OutputError
from VoxelMorphRegistrationLib.pipeline.quality.results import BeforeAfter
from VoxelMorphRegistrationLib.pipeline.report import parts
from VoxelMorphRegistrationLib.pipeline.report.markup import as_html, element
from VoxelMorphRegistrationLib.pipeline.report.page import check_report_path, page
from VoxelMorphRegistrationLib.pipeline.report.plots import Line, line_plot


class _Seen(HTMLParser):
    """The tags of a page, the addresses in it, and of its last tag the attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.texts: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes = dict(attrs)
        self.addresses += [value for name, value in attrs if name in ("href", "src", "data", "action") and value]

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_small_report(path)
    return path.read_text(encoding="utf-8")


def test_texts_and_attributes_are_escaped():
    seen = _Seen()
    seen.feed(as_html(element("p", NASTY, title=NASTY, data_value=1.5, hidden=True, id=None)))
    shown = NASTY.replace("\x01", "\N{REPLACEMENT CHARACTER}")
    assert (seen.tags, seen.texts) == (["p"], [shown])
    assert seen.attributes == {"title": shown, "data-value": "1.5", "hidden": ""}


def test_a_name_stays_a_name(report):
    seen = _Seen()
    seen.feed(report)
    assert seen.tags.count("script") == 1
    assert seen.tags.count("title") >= 1
    assert "alert('é 肺')" in report
    assert "<script>alert" not in report


def test_nothing_is_fetched(report):
    seen = _Seen()
    seen.feed(report)
    assert len([each for each in seen.addresses if each.startswith("data:image/png")]) == 18
    assert all(each.startswith(("data:", "#")) for each in seen.addresses)
    assert "default-src 'none'" in report
    assert not re.search(r"url\((?!#)", report)
    assert "@import" not in report


def test_what_is_referred_to_is_there(report):
    assert set(re.findall(r'href="#([^"]+)"', report)) <= set(re.findall(r'\bid="([^"]+)"', report))


def test_a_report_is_small(report):
    assert len(report) < 3_000_000


def test_what_it_says(report):
    for told in (
        "Mean Dice",
        "Jacobian determinant",
        "Mutual information",
        "BLAKE2",
        "Machine",
        "SimpleITK",
        "Folding",
    ):
        assert told in report, told


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="does not exist; make it first"):
        check_report_path(tmp_path / "nowhere" / "report.html")
    with pytest.raises(OutputError, match=r"end the file name with one of \.html, \.htm"):
        check_report_path(tmp_path / "report.pdf")
    with pytest.raises(OutputError):
        write_small_report(tmp_path / "nowhere" / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_the_title_is_escaped():
    assert f"<title>{'&lt;/title&gt;'}" in page(NASTY, [])


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.8734, "0.873"), (12.345, "12.3"), (1234.5, "1234"), (0.0, "0"), (None, "–"), (math.nan, "–"), (-3.1, "-3.10")],
)
def test_numbers(value, told):
    assert parts.number(value) == told


def test_shares():
    told = [parts.percent(value) for value in (0.0, 0.004, 0.25, 12.0, None)]
    assert told == ["0 %", "< 0.01 %", "0.25 %", "12 %", "–"]
    assert parts.change(BeforeAfter(0.5, None), " mm") == "0.500 → – mm"


def test_a_gap_in_a_line_is_a_gap():
    plot = line_plot("T", [0, 1, 2, 3], [Line("a", [1.0, math.nan, 3.0, 2.0])], unit=" mm", mark=1.0)
    paths = [each.get("d") for each in plot.iter("path")]
    assert [path.count("M") for path in paths] == [2]
    assert len(list(plot.iter("circle"))) == 3


def test_a_line_that_is_the_same_everywhere():
    for value in (0.0, 5.0):
        assert list(line_plot("T", [0], [Line("a", [value])]).iter("circle"))
