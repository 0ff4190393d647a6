"""Installing an engine from Slicer: asking the user, and finding Slicer's Python.

pip is run by ourselves (`network.installation`), on Slicer 5.10 as on 5.12. What Slicer offers, which is
``slicer.util.pip_install`` and since 5.12 ``slicer.packaging.pip_ensure``, installs into Slicer's own
site-packages; given ``--target`` it would still ask for a restart, show nothing of its progress on 5.10, and
could not be cancelled. The question to the user is Slicer's ``slicer.util.confirmOkCancelDisplay`` on both.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from VoxelMorphRegistrationLib.errors import EngineError
from VoxelMorphRegistrationLib.network.installation import Installation
from VoxelMorphRegistrationLib.network.packages import ENGINE_PACKAGES
from VoxelMorphRegistrationLib.progress import Progress


def python_executable() -> Path:
    """The Python for child processes: PythonSlicer, which Slicer has on its PATH; outside Slicer, this one.

    Raises EngineError if Slicer has none.
    """
    if _slicer_application() is None:
        return Path(sys.executable)
    found = shutil.which("PythonSlicer")
    if found is None:
        raise EngineError("PythonSlicer is not on Slicer's PATH; install Slicer again.")
    return Path(found)


def installations() -> dict[str, Installation]:
    """Each engine's installation for this Slicer, by the engine's name, the fastest engine first."""
    python = python_executable()
    return {name: Installation(name, python=python) for name in ENGINE_PACKAGES}


def chosen_installation(engine: str = "auto") -> Installation:
    """The installation of this engine; for "auto" of the fastest that is usable, or else of the first, to install.

    Raises EngineError for an unknown engine.
    """
    known = installations()
    if engine != "auto" and engine not in known:
        raise EngineError(f'There is no engine "{engine}"; choose one of: auto, {", ".join(known)}.')
    wanted = list(known.values()) if engine == "auto" else [known[engine]]
    return next((installation for installation in wanted if installation.status().is_usable), wanted[0])


def ensure_installed(
    engine: str = "auto",
    *,
    confirm: Callable[[str], bool] | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Make an engine usable, installing it if the user agrees; the folders that its child process needs.

    To be called at the first Apply, never at module load. "auto" takes the fastest engine that is there, and else
    installs the first. ``confirm(question)`` asks the user; by default, Slicer's own dialog does. ``progress`` is
    reported to and asked whether to stop, ten times a second, in the calling thread, so that it can keep Slicer
    alive. Raises EngineError (also where there is nobody to ask: no main window, testing mode), DeclinedError
    (`network.installation`) or CancelledError; then nothing was changed.
    """
    chosen = chosen_installation(engine)
    if chosen.status().is_usable:
        return chosen.paths()
    confirm = confirm or _slicer_dialog()
    if confirm is None:
        raise EngineError(
            f"{chosen.status().detail.split(';')[0].rstrip('.')}, and there is nobody to ask; run in Python: "
            f"from VoxelMorphRegistrationLib.slicer_bridge.installation import ensure_installed; "
            f'ensure_installed("{chosen.packages.name}", confirm=lambda question: True)'
        )
    chosen.install(confirm, progress)
    return chosen.paths()


def _slicer_dialog() -> Callable[[str], bool] | None:
    """Slicer's question with OK and Cancel, None where no user would see it.

    In testing mode Slicer answers it with OK by itself, which must not install anything.
    """
    application = _slicer_application()
    if application is None or application.testingEnabled():
        return None
    import slicer

    if slicer.util.mainWindow() is None:
        return None

    def ask(question: str) -> bool:
        return bool(slicer.util.confirmOkCancelDisplay(question, windowTitle="VoxelMorph registration"))

    return ask


def _slicer_application() -> Any:
    """``slicer.app``; None in PythonSlicer and outside Slicer."""
    slicer = sys.modules.get("slicer")  # inside Slicer it is always loaded
    return getattr(slicer, "app", None)
