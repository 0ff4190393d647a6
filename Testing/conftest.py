"""The fixtures every test may use: see `host/plugin.py`."""

from host.plugin import host, scene, swallowed

__all__ = ["host", "scene", "swallowed"]
