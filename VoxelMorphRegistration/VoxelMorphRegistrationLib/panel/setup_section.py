"""What is installed for the engines, and buttons to install and remove it."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from VoxelMorphRegistrationLib.network.installation import Installation, Status
from VoxelMorphRegistrationLib.network.packages import ENGINE_PACKAGES
from VoxelMorphRegistrationLib.panel.run_control import RunControl
from VoxelMorphRegistrationLib.slicer_bridge.background import close_shared_worker
from VoxelMorphRegistrationLib.slicer_bridge.installation import installations


class SetupSection:
    """Shows the chosen engine's packages; nothing is installed or removed without being asked for."""

    def __init__(self, ui: Any, control: RunControl) -> None:
        self._ui, self._control = ui, control
        self._status: Status | None = None  # not looked up yet
        for name, packages in ENGINE_PACKAGES.items():
            ui.setupEngineComboBox.addItem(packages.title, name)
        ui.setupEngineComboBox.connect("currentIndexChanged(int)", self._on_look)
        ui.installButton.connect("clicked(bool)", self._on_install)
        ui.removeEngineButton.connect("clicked(bool)", self._on_remove)
        ui.setupCollapsibleButton.connect("contentsCollapsed(bool)", self._on_look)
        self.update()

    def refresh(self) -> None:
        """Look up how things stand; only while the section is open, since every file is looked at."""
        if self._ui.setupCollapsibleButton.collapsed:
            return
        installation = self._installation()
        self._status = status = installation.status()
        on_disk = f" ({status.size_bytes / 1e6:.0f} MB)" if status.size_bytes else ""
        versions = ", ".join(f"{name} {version}" for name, version in sorted(status.versions.items()))
        self._ui.setupStatusLabel.text = f"{status.detail}{on_disk}"
        self._ui.setupVersionsLabel.text = versions or _("none")
        self._ui.setupFolderLabel.text = str(installation.folder)
        self.update()

    def update(self) -> None:
        """Enable what can be done now."""
        idle, status = not self._control.busy, self._status
        self._ui.installButton.enabled = idle and status is not None and not status.is_usable
        self._ui.removeEngineButton.enabled = idle and status is not None and status.size_bytes > 0

    def _installation(self) -> Installation:
        return installations()[self._ui.setupEngineComboBox.currentData]

    def _on_look(self, _value: object = None) -> None:
        self.refresh()

    def _on_install(self, _checked: bool = False) -> None:
        installation = self._installation()
        if slicer.util.confirmOkCancelDisplay(installation.question()):
            close_shared_worker()
            stage = _("Installing {title}").format(title=installation.packages.title)
            self._control.do(lambda progress: installation.install(lambda _question: True, progress), stage)

    def _on_remove(self, _checked: bool = False) -> None:
        installation = self._installation()
        title = installation.packages.title
        question = _("Delete the packages of {title} from {folder}?").format(title=title, folder=installation.folder)
        if slicer.util.confirmOkCancelDisplay(question):
            close_shared_worker()
            self._control.do(installation.remove, _("Removing {title}").format(title=title))
