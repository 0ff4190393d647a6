"""What comes before a registration: its engine, which is installed if the user agrees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from VoxelMorphRegistrationLib.network.installation import Installation
from VoxelMorphRegistrationLib.panel.run_control import RunControl
from VoxelMorphRegistrationLib.progress import Progress
from VoxelMorphRegistrationLib.slicer_bridge.background import close_shared_worker
from VoxelMorphRegistrationLib.slicer_bridge.installation import chosen_installation


def with_engine(control: RunControl, engine: str, then: Callable[[list[Any]], None], place: Any = None) -> None:
    """Call ``then`` with the folders of an engine's packages, once they are there; not if the user declines.

    ``place`` is where it is shown, as in `RunControl.do`.
    """

    def look(_progress: Progress) -> tuple[Installation, list[Any] | None]:
        installation = chosen_installation(engine)
        return installation, installation.paths() if installation.status().is_usable else None

    def use_or_install(found: tuple[Installation, list[Any] | None]) -> None:
        installation, folders = found
        title = installation.packages.title
        if folders is not None:
            then(folders)
        elif slicer.util.confirmOkCancelDisplay(installation.question()):
            close_shared_worker()

            def install(progress: Progress) -> list[Any]:
                installation.install(lambda _question: True, progress)
                return installation.paths()

            control.do(install, _("Installing {title}").format(title=title), then, place)
        else:
            control.say(_("{title} was not installed, so nothing was done.").format(title=title), place)

    control.do(look, _("Looking for the engine"), use_or_install, place)
