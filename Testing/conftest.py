"""The fixtures every test may use: see `host/plugin.py`."""

from host.plugin import scene, swallowed

__all__ = ["scene", "swallowed"]
