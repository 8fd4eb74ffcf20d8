"""SIGTERM and SIGINT end a node in order: between two batches, or between two messages."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

from fl_app.errors import Stopped


class StopSignal:
    """Remembers that a signal has come, and tells whoever waits.

    Before there is a loop to tell, while the data is read, the signal raises :class:`Stopped` where it finds the
    process.
    """

    def __init__(self) -> None:
        self._set = threading.Event()
        self._post: Callable[[BaseException], None] | None = None

    def install(self) -> None:
        """Handle the signals from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def tell(self, post: Callable[[BaseException], None]) -> None:
        """Post :class:`Stopped` there when a signal comes."""
        self._post = post

    def check(self) -> None:
        """Raise :class:`Stopped` if a signal has come."""
        if self._set.is_set():
            raise Stopped("Stopped by a signal.")

    def _handle(self, number: int, _: FrameType | None) -> None:
        self._set.set()
        stopped = Stopped(f"Stopped by {signal.Signals(number).name}.")
        if self._post is None:
            raise stopped
        self._post(stopped)
