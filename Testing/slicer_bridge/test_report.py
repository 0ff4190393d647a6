"""``process(report=...)``: the report comes from the background process, before the nodes are written."""

from __future__ import annotations

import pytest

pytest.importorskip("slicer")
from pipeline.known_networks import write_vxm_dense
from pipeline.small_pair import small_volume
from slicer_bridge.support import add_volume, scene_content
from VoxelMorphRegistrationLib.errors import OutputError


def test_a_report_beside_the_nodes(scene, logic, tmp_path):
    pytest.importorskip("openvino", reason="needs an engine (pip install openvino)")
    write_vxm_dense(tmp_path / "model.h5", kernel=0.02)
    images = small_volume("fixed"), small_volume("moving", 6.0)
    fixed, moving = (add_volume(image.array, image.grid, f"{image.name} <1>") for image in images)
    choices = {"model": str(tmp_path / "model.h5"), "resolution": "quarter", "preAlignment": "none"}

    before = scene_content(scene)
    with pytest.raises(OutputError, match="does not exist; make it first"):
        logic.process(fixed, moving, report=tmp_path / "nowhere" / "report.html", **choices)
    assert scene_content(scene) == before

    outcome = logic.process(fixed, moving, report=tmp_path / "report.html", **choices)
    assert outcome.outputTransform is not None
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "moving &lt;1&gt;" in page
    nodes = "fixedVolume=slicer.util.getNode('fixed &lt;1&gt;'), movingVolume=slicer.util.getNode('moving &lt;1&gt;')"
    assert f".process({nodes}, model=" in page
    assert page.count("BLAKE2") == 2

    outcome.outputTransform.SetName("found")
    logic.checkRegistration(fixed, moving, outcome.outputTransform, report=tmp_path / "check.html")
    page = (tmp_path / "check.html").read_text(encoding="utf-8")
    assert f".checkRegistration({nodes}, transformNode=slicer.util.getNode('found'), report=" in page
