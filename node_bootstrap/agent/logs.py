"""The node's log on its way to the account: what the agent and the application say, before the node can be gone."""

from __future__ import annotations

import logging
from collections import deque
from typing import Protocol

from node_bootstrap.agent.application_log import ApplicationLog

#: While the account does not answer, so many lines of the agent's are kept; the application's are on its disk.
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
        application_log: what the application says, and how much of it was sent.
    """

    def __init__(self, group: LogGroup, stream: str, application_log: ApplicationLog) -> None:
        super().__init__()
        self._group = group
        self._stream = stream
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._application = application_log

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
        while whole := self._application.unsent(_BYTES_AT_ONCE):
            self._group.log(f"{self._stream}/application", whole.decode("utf-8", "replace").splitlines())
            self._application.sent(len(whole))
