"""What is installed for the engines, and buttons to install and remove it."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from VoxelMorphRegistrationLib.network.installation import Installation
from VoxelMorphRegistrationLib.network.packages import ENGINE_PACKAGES
from VoxelMorphRegistrationLib.panel.run_control import RunControl
from VoxelMorphRegistrationLib.slicer_bridge.background import close_shared_worker
from VoxelMorphRegistrationLib.slicer_bridge.installation import installations


class SetupSection:
    """Shows the chosen engine's packages; nothing is installed or removed without being asked for."""

    def __init__(self, ui: Any, control: RunControl) -> None:
        self._ui, self._control = ui, control
        for name, packages in ENGINE_PACKAGES.items():
            ui.setupEngineComboBox.addItem(packages.title, name)
        ui.setupEngineComboBox.connect("currentIndexChanged(int)", self._on_engine)
        ui.installButton.connect("clicked(bool)", self._on_install)
        ui.removeEngineButton.connect("clicked(bool)", self._on_remove)
        ui.setupCollapsibleButton.connect("contentsCollapsed(bool)", self._on_engine)

    def update(self) -> None:
        """Show how things stand; only while the section is open, since it looks at the disk."""
        if self._ui.setupCollapsibleButton.collapsed:
            return
        installation = self._installation()
        status = installation.status()
        versions = ", ".join(f"{name} {version}" for name, version in sorted(status.versions.items()))
        on_disk = f" ({status.size_bytes / 1e6:.0f} MB)" if status.size_bytes else ""
        self._ui.setupStatusLabel.text = f"{status.detail}{on_disk}"
        self._ui.setupStatusLabel.toolTip = versions
        self._ui.setupFolderLabel.text = str(installation.folder)
        self._ui.installButton.enabled = not self._control.busy and not status.is_usable
        self._ui.removeEngineButton.enabled = not self._control.busy and status.size_bytes > 0

    def _installation(self) -> Installation:
        return installations()[self._ui.setupEngineComboBox.currentData]

    def _on_engine(self, _value: object = None) -> None:
        self.update()

    def _on_install(self, _checked: bool = False) -> None:
        installation = self._installation()
        if slicer.util.confirmOkCancelDisplay(installation.question()):
            close_shared_worker()
            self._control.do(lambda progress: installation.install(lambda _question: True, progress), self.update)

    def _on_remove(self, _checked: bool = False) -> None:
        installation = self._installation()
        question = _("Delete the packages of {title} from {folder}?").format(
            title=installation.packages.title, folder=installation.folder
        )
        if slicer.util.confirmOkCancelDisplay(question):
            close_shared_worker()
            self._control.do(installation.remove, self.update)
