"""The node's log on its way to the account: what the agent and the application say, before the node can be gone."""

from __future__ import annotations

import logging
import os
from collections import deque
from pathlib import Path
from typing import Protocol

#: While the account does not answer, so many lines of the agent's are kept; the application's are in its file.
_KEPT_LINES = 5000
_BYTES_AT_ONCE = 1 << 19


class LogGroup(Protocol):
    """Where lines go."""

    def log(self, stream: str, lines: list[str]) -> None:
        """Append lines to a stream."""


class Shipper(logging.Handler):
    """Collects the agent's own lines and the application's, and sends them when told.

    Args:
        group: where to.
        stream: name of this node's streams, ``/agent`` and ``/application`` behind it.
        application_log: the file that the application writes; beside it stands how much of it was sent, so that an
            agent that is started again goes on from there.
    """

    def __init__(self, group: LogGroup, stream: str, application_log: Path) -> None:
        super().__init__()
        self._group = group
        self._stream = stream
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._file = application_log
        self._mark = application_log.with_name(f".{application_log.name}.sent")
        self._offset = self._read_mark()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line of the agent's."""
        self._lines.append(self.format(record))

    def ship(self) -> None:
        """Send what is new; what cannot be sent is sent the next time, and the error is the caller's."""
        if self._lines:
            lines = list(self._lines)
            self._group.log(f"{self._stream}/agent", lines)
            for _ in lines:
                self._lines.popleft()
        while whole := self._from_file():
            self._group.log(f"{self._stream}/application", whole.decode("utf-8", "replace").splitlines())
            self._offset += len(whole)
            self._mark.write_text(f"{self._offset}", "ascii")

    def _read_mark(self) -> int:
        """Return how much of the file was sent by an agent before this one."""
        try:
            return int(self._mark.read_text("ascii"))
        except (OSError, ValueError):
            return 0

    def _from_file(self) -> bytes:
        """Return whole lines that were not sent yet."""
        try:
            with self._file.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                if size < self._offset:  # begun anew
                    self._offset = 0
                file.seek(self._offset)
                read = file.read(_BYTES_AT_ONCE)
        except FileNotFoundError:
            return b""
        end = read.rfind(b"\n") + 1
        return read[:end] if end or len(read) < _BYTES_AT_ONCE else read
