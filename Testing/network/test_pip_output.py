"""What pip prints, read as progress and as reasons. `test_installation` has most of the reasons from pip itself."""

from __future__ import annotations

import re

import pytest
from VoxelMorphRegistrationLib.network.pip_output import Meter, failure

# From pip 25.1.1 planning and installing OpenVINO; thinned out, its paths shortened.
RECORDED = """\
Collecting openvino>=2025.0 (from -r /r/requirements-openvino.txt (line 2))
  Downloading openvino-2026.4.1-22982-cp312-cp312-manylinux_2_28_x86_64.whl (59.1 MB)
Progress 42467328 of 59144434
Progress 59144434 of 59144434
Collecting h5py>=3.10 (from -r /r/requirements-openvino.txt (line 3))
  Downloading h5py-3.16.0-cp312-cp312-manylinux_2_28_x86_64.whl (5.4 MB)
Progress 0 of 5405250
Progress 262144 of 5405250
Progress 5405250 of 5405250
Requirement already satisfied: numpy>=2.0 in /slicer/lib (from -r /r/requirements-openvino.txt (line 4)) (2.0.2)
Collecting openvino-telemetry>=2023.2.1 (from openvino>=2025.0->-r /r/requirements-openvino.txt (line 2))
  Downloading openvino_telemetry-2025.2.0-py3-none-any.whl (25 kB)
Would install h5py-3.16.0 openvino-2026.4.1 openvino-telemetry-2025.2.0
Installing collected packages: openvino, h5py
Successfully installed h5py-3.16.0 openvino-2026.4.1
""".splitlines()


def heard_from(lines: list[str]) -> tuple[list[tuple[str, float]], Meter]:
    heard: list[tuple[str, float]] = []
    meter = Meter(
        lambda stage, fraction: heard.append((stage, round(fraction, 2))), "Start", download_mb=80, disk_mb=200
    )
    for line in lines:
        meter.on_line(line)
        meter.tick()
    return heard, meter


def test_progress_by_the_bytes_that_came():
    heard, meter = heard_from(RECORDED)
    assert heard[0] == ("Looking up openvino", 0.0)
    assert ("Downloading openvino (59.1 MB)", 0.37) in heard
    assert ("Downloading openvino (59.1 MB)", 0.52) in heard
    assert ("Downloading h5py (5.4 MB)", 0.56) in heard
    assert "Looking up openvino-telemetry" in [stage for stage, _ in heard]
    assert heard[-1][0] == "Installing 2 packages"
    assert [fraction for _, fraction in heard] == sorted(fraction for _, fraction in heard)
    assert 0.7 <= heard[-1][1] < 0.9
    assert meter.satisfied == {"numpy"}


def test_progress_of_an_older_pip_that_shows_no_bytes():
    """A file counts when the next thing begins."""
    heard, _ = heard_from([line for line in RECORDED if not line.startswith("Progress")])
    assert ("Downloading openvino (59.1 MB)", 0.0) in heard
    assert ("Downloading h5py (5.4 MB)", 0.52) in heard


def test_a_download_beyond_the_expected_size_stops_before_the_next_part():
    lines = ["  Downloading a-1.0-py3-none-any.whl (9.9 GB)", "Progress 9900000000 of 9900000000"]
    assert heard_from(lines)[0][-1] == ("Downloading a (9.9 GB)", 0.7)


@pytest.mark.parametrize(
    ("printed", "sentence"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "The disk is full"),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/p'",
            "The folder for the packages cannot be written to",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 2] No such file or directory: 'C:\\\\a'\n"
            "HINT: This error might have occurred since this system does not have Windows Long Path support enabled.",
            "too long for Windows",
        ),
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<HTTPSConnection>: "
            "Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')': /simple/a/\n"
            "ERROR: Could not find a version that satisfies the requirement openvino (from versions: none)\n"
            "ERROR: No matching distribution found for openvino",
            "PyPI cannot be reached.*run: fetch it; copy",
        ),
        (
            "ERROR: Could not install packages due to an OSError: HTTPSConnectionPool(host='pypi.org', port=443): Max "
            "retries exceeded with url: /simple/ (Caused by ProxyError('Cannot connect to proxy.', OSError('Tunnel "
            "connection failed: 407 Proxy Authentication Required')))",
            "The proxy does not let pip through",
        ),
        (
            "Could not fetch URL https://pypi.org/simple/: connection error: (Caused by SSLError("
            "SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]')))\n"
            "ERROR: No matching distribution found for openvino",
            "certificate of PyPI cannot be verified",
        ),
        (
            "ERROR: No matching distribution found for tensorflow-cpu>=2.18",
            r"PyPI has no tensorflow-cpu>=2\.18 for Python 3\.14 on win-arm64; choose another engine",
        ),
        (
            "The conflict is caused by:\n    tensorflow-cpu 2.18.0 depends on numpy<2.1.0 and >=1.26.0\n"
            "    The user requested (constraint) numpy==2.4.6\n\nERROR: ResolutionImpossible: for help visit ...",
            r"\(tensorflow-cpu 2\.18\.0 needs numpy<2\.1\.0 and >=1\.26\.0\)",
        ),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "arrived damaged and was not installed",
        ),
        ("ERROR: Something new.\nmore", r"pip failed \(Something new\); try again"),
        ("", r"pip failed \(no output\)"),
    ],
)
def test_failures_become_one_sentence_with_the_way_out(printed, sentence):
    said = failure(printed.splitlines(), python="Python 3.14 on win-arm64", source="PyPI", by_hand="fetch it")
    assert re.search(sentence, said), said
    assert said.endswith(".")
    assert "\n" not in said
