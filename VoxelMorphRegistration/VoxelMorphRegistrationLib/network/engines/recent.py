"""The networks an engine keeps ready."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Shape = tuple[int, int, int]

_KEPT = 2  # a registration's coarse pass and its fine one


class RecentNetworks:
    """Networks built for one input shape each; those of the last shapes are kept, older ones let go of."""

    def __init__(self, build: Callable[[Shape], Any]) -> None:
        """``build`` makes the network for a shape."""
        self._build = build
        self._networks: dict[Shape, Any] = {}  # the last used at the end

    def of(self, shape: Shape) -> Any:
        """The network for an input of that shape, built where it is not kept."""
        network = self._networks.pop(shape, None)
        while len(self._networks) >= _KEPT:  # before another is built: its memory is wanted
            del self._networks[next(iter(self._networks))]
        if network is None:
            network = self._build(shape)
        self._networks[shape] = network
        return network
