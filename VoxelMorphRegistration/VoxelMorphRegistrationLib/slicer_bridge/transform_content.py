"""What a transform node holds, kept so that it can be put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class TransformContent:
    """A transform node's map, parent transform and references as they are now.

    The map is kept by reference, which costs nothing: writing a field into a node replaces its map by another object.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._copy = node.CreateNodeInstance()  # in no scene
        self._copy.CopyContent(node, False)
        self._parent = node.GetTransformNodeID()
        self._references = {
            role: node.GetNodeReferenceID(role)
            for role in (node.GetMovingNodeReferenceRole(), node.GetFixedNodeReferenceRole())
        }

    def restore(self) -> None:
        """Put it back."""
        node = self._node
        modifying = node.StartModify()
        try:
            node.CopyContent(self._copy, False)
            node.SetAndObserveTransformNodeID(self._parent)
            for role, node_id in self._references.items():
                node.SetNodeReferenceID(role, node_id)
        finally:
            node.EndModify(modifying)


@contextmanager
def restored_on_failure(node: Any) -> Iterator[None]:
    """Put a transform node's content back if the block fails; None is no node."""
    content = TransformContent(node) if node is not None else None
    try:
        yield
    except BaseException:
        if content is not None:
            content.restore()
        raise
