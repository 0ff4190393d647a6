"""The entry for Slicer's Extensions Index and the extension's CMake metadata, by the rules of the Index.

The rules are those of ``schemas/slicer-extension-catalog-entry-schema-v1.0.2.json`` and
``scripts/check_description_files.py`` of https://github.com/Slicer/ExtensionsIndex, except that addresses are not
asked: what they will serve is looked up in this repository.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAME = "VoxelMorphRegistration"
ENTRY = ROOT / "Resources" / "ExtensionsIndex" / f"{NAME}.json"
PROPERTIES = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "dicom_support_rule": str,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
}
LICENSE_FILES = ("LICENSE", "LICENCE", "LICENSE.txt", "License.txt", "license.txt", "COPYING", "COPYING.txt")
LARGEST_SCREENSHOT = 300_000


@pytest.fixture(scope="module")
def entry() -> dict[str, object]:
    return json.loads(ENTRY.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def metadata() -> dict[str, str]:
    """The EXTENSION_ variables of the top-level CMakeLists.txt."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"]*)"\)', text, re.MULTILINE))


def png_size(path: Path) -> tuple[int, int]:
    """Width and height in a PNG file's header; fails for any other file."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n", f"{path} is no PNG file"
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def in_repository(url: str, entry: dict[str, object]) -> Path:
    """The file that a raw address of the repository's main branch serves."""
    home = urlsplit(str(entry["scm_url"])).path.removesuffix(".git")
    prefix = f"https://raw.githubusercontent.com{home}/{entry['scm_revision']}/"
    assert url.startswith(prefix), f"{url} is not in {prefix}"
    return ROOT / url.removeprefix(prefix)


def test_the_entry_follows_the_schema(entry):
    assert set(entry) <= set(PROPERTIES)
    assert {"$schema", "category", "scm_url"} <= set(entry)
    for key, value in entry.items():
        assert type(value) is PROPERTIES[key], key
    assert re.search(r"/slicer-extension-catalog-entry-schema-v1\.0\.2\.json#?$", str(entry["$schema"]))
    assert entry["category"] == "Registration"
    assert entry["tier"] in (1, 3, 5)
    assert entry["build_dependencies"] == []


def test_the_entry_is_written_as_the_index_wants_it():
    content = ENTRY.read_bytes()
    assert b"\r" not in content
    assert content.endswith(b"}\n")


def test_names_agree(entry, metadata):
    project = re.search(r"^project\((\w+)\)", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert project is not None
    assert project.group(1) == ENTRY.stem == NAME
    assert not NAME.lower().startswith("slicer")
    address = urlsplit(str(entry["scm_url"]))
    assert address.scheme in ("git", "https")
    assert Path(address.path).stem == f"Slicer{NAME}"
    assert metadata["HOMEPAGE"] == str(entry["scm_url"]).removesuffix(".git")
    assert metadata["CATEGORY"] == entry["category"]
    assert metadata["DEPENDS"] == "NA"  # as build_dependencies


def test_the_description_is_one_or_two_plain_sentences(metadata):
    description = metadata["DESCRIPTION"]
    assert 50 < len(description) < 300
    assert description.endswith(".")
    assert "<" not in description
    assert metadata["CONTRIBUTORS"]


def test_the_icon_is_a_png_of_this_repository(entry, metadata):
    icon = in_repository(metadata["ICONURL"], entry)
    assert png_size(icon) == (128, 128)
    assert png_size(ROOT / NAME / "Resources" / "Icons" / f"{NAME}.png") == (128, 128)


def test_the_screenshots_are_pngs_of_this_repository(entry, metadata):
    screenshots = metadata["SCREENSHOTURLS"].split()
    assert screenshots
    for url in screenshots:
        width, height = png_size(in_repository(url, entry))
        assert width >= 400
        assert height >= 300


def test_screenshots_are_small_enough_for_a_page():
    for path in (ROOT / "Resources" / "Screenshots").glob("*"):
        png_size(path)
        assert path.stat().st_size < LARGEST_SCREENSHOT, path.name


def test_there_is_a_license_that_the_readme_names():
    found = [name for name in LICENSE_FILES if (ROOT / name).is_file()]
    assert found
    assert "Apache License" in (ROOT / found[0]).read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"Apache[- ](License,? )?(Version )?2\.0", readme)
    for image in re.findall(r"!\[[^]]*\]\((Resources/[^)]+)\)", readme):
        assert (ROOT / image).is_file(), image


def test_a_checkout_is_small():
    """The Index allows 100 MB."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    assert sum(path.stat().st_size for path in files if path.is_file()) < 20e6


def test_no_text_file_has_windows_line_endings():
    for path in (ROOT / "CMakeLists.txt", ROOT / NAME / "CMakeLists.txt", ENTRY, ROOT / "README.md"):
        assert b"\r" not in path.read_bytes(), path.name
