"""`qMRMLNodeComboBox` in its sceneful moments; the expected behaviour is that of Slicer's own tests 1, 2, 5, 7."""

from __future__ import annotations

import pytest

VOLUME = "vtkMRMLScalarVolumeNode"


def add(host, name, node_class=VOLUME):
    return host.scene.AddNewNodeByClass(node_class, name)


@pytest.fixture
def selector(host):
    """For volumes, with None, already watching the scene; `selector_log` hears its signals."""
    widget = host.slicer.qMRMLNodeComboBox()
    widget.nodeTypes = [VOLUME]
    widget.noneEnabled = True
    widget.setMRMLScene(host.scene)
    widget.show()
    yield widget
    widget.close()
    widget.setMRMLScene(None)


def heard(selector):
    names = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda n: names.append(n.GetName() if n else None))
    return names


def test_defaults_are_those_of_slicer(host):
    widget = host.slicer.qMRMLNodeComboBox()
    flags = ("addEnabled", "removeEnabled", "editEnabled", "renameEnabled", "noneEnabled", "showHidden")
    assert [getattr(widget, flag) for flag in flags] == [True, True, False, False, False, False]
    assert widget.showChildNodeTypes
    assert widget.selectNodeUponCreation
    assert widget.noneDisplay == "None"
    assert not widget.enabled  # until it has a scene
    assert widget.nodeCount() == 0


def test_no_method_that_slicer_does_not_show(selector):
    for hidden in ("setNodeTypes", "setBaseName", "currentText", "count", "addItem", "setNoneEnabled"):
        assert not hasattr(selector, hidden), hidden
    with pytest.raises(AttributeError):
        selector.nodetypes = [VOLUME]


def test_rows(host, selector):
    add(host, "a")
    selector.renameEnabled = True
    assert host.user.menu(selector) == [
        "None",
        "a",
        "",
        "Rename current Volume",
        "Create new Volume",
        "Create new Volume as...",
        "Delete current Volume",
    ]
    selector.noneDisplay = "Select a volume"
    selector.addEnabled = selector.removeEnabled = selector.renameEnabled = False
    assert host.user.menu(selector) == ["Select a volume", "a"]


def test_none_stays_selected_when_nodes_come(host, selector):
    names = heard(selector)
    add(host, "a")
    assert selector.currentNode() is None
    assert selector.currentNodeID == ""
    assert names == []


def test_each_change_is_said_once(host, selector):
    a, b = add(host, "a"), add(host, "b")
    names, valid, ids = heard(selector), [], []
    selector.connect("currentNodeChanged(bool)", valid.append)
    selector.connect("currentNodeIDChanged(QString)", ids.append)
    selector.setCurrentNode(a)
    selector.setCurrentNode(a)
    selector.setCurrentNodeID(b.GetID())
    selector.setCurrentNode(None)
    assert names == ["a", "b", None]
    assert valid == [True, True, False]
    assert ids == [a.GetID(), b.GetID(), ""]


def test_an_input_without_none_takes_the_first_node(host):
    widget = host.slicer.qMRMLNodeComboBox()
    widget.nodeTypes = [VOLUME]
    widget.addEnabled = widget.removeEnabled = False
    names = heard(widget)
    widget.setMRMLScene(host.scene)
    assert widget.currentNode() is None
    a = add(host, "a")
    add(host, "b")
    assert widget.currentNode() is a
    assert names[-1:] == ["a"]
    late = host.slicer.qMRMLNodeComboBox()
    late.nodeTypes = [VOLUME]
    late.setMRMLScene(host.scene)
    assert late.currentNode() is a


def test_a_node_asked_for_before_the_scene_is_selected_with_it(host):
    a, b = add(host, "a"), add(host, "b")
    assert a is not b
    widget = host.slicer.qMRMLNodeComboBox()
    widget.nodeTypes = [VOLUME]
    widget.setCurrentNode(b)
    widget.setMRMLScene(host.scene)
    assert widget.currentNode() is b


def test_renaming_shows_the_new_name_and_keeps_the_selection(host, selector):
    a = add(host, "a")
    host.user.choose(selector, a)
    a.SetName("renamed")
    assert "renamed" in host.user.menu(selector)
    assert selector.currentNode() is a


def test_renaming_through_the_menu(host, selector):
    selector.renameEnabled = True
    a = add(host, "a")
    host.user.choose(selector, a)
    names = []
    selector.connect("currentNodeRenamed(QString)", names.append)
    host.dialogs.expect("Rename Volume", "better")
    host.user.choose_action(selector, "Rename current")
    assert a.GetName() == "better"
    assert names == ["better"]
    host.dialogs.expect("Rename Volume", False)
    host.user.choose_action(selector, "Rename current")
    assert a.GetName() == "better"


def test_removing_the_selected_node_moves_to_a_neighbour_or_none(host, selector):
    a, b = add(host, "a"), add(host, "b")
    host.user.choose(selector, b)
    names = heard(selector)
    host.scene.RemoveNode(b)
    assert selector.currentNode() is a  # Qt's combo box takes the row before
    host.scene.RemoveNode(a)
    assert selector.currentNode() is None
    assert names == ["a", None]


def test_removing_another_node_keeps_the_selection(host, selector):
    a, b = add(host, "a"), add(host, "b")
    host.user.choose(selector, b)
    names = heard(selector)
    host.scene.RemoveNode(a)
    assert selector.currentNode() is b
    assert names == []


def test_without_none_an_action_row_is_never_selected(host):
    widget = host.slicer.qMRMLNodeComboBox()
    widget.nodeTypes = [VOLUME]
    widget.setMRMLScene(host.scene)
    a = add(host, "a")
    widget.setCurrentNode(a)
    host.scene.RemoveNode(a)
    assert widget.currentNode() is None
    b, c = add(host, "b"), add(host, "c")
    widget.setCurrentNode(b)
    host.scene.RemoveNode(b)
    assert widget.currentNode() is c


def test_closing_the_scene_empties_it(host, selector):
    host.user.choose(selector, add(host, "a"))
    names = heard(selector)
    host.scene.Clear(False)
    assert selector.currentNode() is None
    assert selector.nodeCount() == 0
    assert names == [None]
    host.user.choose(selector, add(host, "b"))
    assert names == [None, "b"]


def test_created_nodes(host):
    widget = host.slicer.qMRMLNodeComboBox()
    widget.nodeTypes = ["vtkMRMLTransformNode"]
    widget.baseName = "Warp"
    widget.noneEnabled = True
    widget.setMRMLScene(host.scene)
    widget.show()
    by_user, by_action = [], []
    widget.connect("nodeAddedByUser(vtkMRMLNode*)", by_user.append)
    widget.connect("nodeAddedByUserAction(vtkMRMLNode*)", by_action.append)
    first = widget.addNode()
    assert (first.GetName(), widget.currentNode()) == ("Warp", first)
    assert (len(by_user), len(by_action)) == (1, 0)
    host.user.choose_action(widget, "Create new")
    assert widget.currentNode().GetName() == "Warp_1"
    assert (len(by_user), len(by_action)) == (2, 1)
    assert widget.addNode("vtkMRMLModelNode") is None
    host.user.choose_action(widget, "Delete current")
    assert host.scene.GetFirstNodeByName("Warp_1") is None
    widget.close()


def test_which_nodes_are_shown(host, selector):
    add(host, "scalar")
    add(host, "labels", "vtkMRMLLabelMapVolumeNode")
    hidden = add(host, "hidden")
    hidden.HideFromEditorsOn()
    hidden.Modified()
    add(host, "transform", "vtkMRMLTransformNode")

    def shown():
        return [selector.nodeFromIndex(index).GetName() for index in range(selector.nodeCount())]

    assert shown() == ["scalar", "labels"]
    selector.showChildNodeTypes = False
    assert shown() == ["scalar"]
    selector.showChildNodeTypes = True
    selector.hideChildNodeTypes = ["vtkMRMLLabelMapVolumeNode"]
    assert shown() == ["scalar"]
    selector.showHidden = True
    assert shown() == ["scalar", "hidden"]


def test_attributes_filter(host, selector):
    for name, value in (("none", None), ("empty", ""), ("a", "a")):
        add(host, name).SetAttribute("modality", value)
    counts = []
    for wanted in ("a", "b", "", None):
        selector.addAttribute(VOLUME, "modality", wanted)
        counts.append(selector.nodeCount())
    assert counts == [1, 0, 1, 2]


def test_a_deleted_widget_hears_nothing_more(host):
    import shiboken6

    widget = host.slicer.qMRMLNodeComboBox()
    widget.nodeTypes = [VOLUME]
    widget.setMRMLScene(host.scene)
    a = add(host, "a")
    shiboken6.delete(widget)
    a.SetName("b")
    add(host, "c")
    host.scene.Clear(False)


def test_slice_layers_are_set_on_real_nodes(host):
    import numpy as np

    background = host.slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.float32))
    foreground = host.slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.float32))
    host.slicer.util.setSliceViewerLayers(background=background, foreground=foreground, foregroundOpacity=0.5, fit=True)
    for name in host.app.layoutManager().sliceViewNames():
        composite = host.app.layoutManager().sliceWidget(name).sliceLogic().GetSliceCompositeNode()
        assert composite.GetBackgroundVolumeID() == background.GetID()
        assert composite.GetForegroundVolumeID() == foreground.GetID()
        assert composite.GetForegroundOpacity() == 0.5
