"""Progress in a terminal: a bar where somebody watches, plain lines where the output goes to a file."""

from __future__ import annotations

import shutil
from typing import TextIO

from VoxelMorphRegistrationLib.progress import Progress

_BAR_WIDTH = 24


class ProgressDisplay:
    """Shows the progress of a job on ``stream``: one bar, redrawn in place, on a terminal; a line a stage
    elsewhere.
    """

    def __init__(self, stream: TextIO) -> None:
        """``stream`` is usually standard error, so that standard output holds results only."""
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._shown = ""

    def progress(self) -> Progress:
        """What the job calls."""
        return Progress(self._report)

    def close(self) -> None:
        """Remove the bar."""
        if self._is_terminal and self._shown:
            self._stream.write("\r" + " " * len(self._shown) + "\r")
            self._stream.flush()
        self._shown = ""

    def _report(self, stage: str, fraction: float) -> None:
        if self._is_terminal:
            filled = round(_BAR_WIDTH * fraction)
            width = shutil.get_terminal_size().columns - 1
            line = f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {100 * fraction:3.0f} %  {stage}"[:width]
            self._stream.write("\r" + line.ljust(len(self._shown)))
            self._shown = line
        else:
            step = stage.partition(" (")[0]  # a download's stage counts megabytes behind it
            if step != self._shown:
                self._stream.write(f"{stage}\n")
                self._shown = step
        self._stream.flush()
