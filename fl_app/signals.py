"""SIGTERM and SIGINT end a node in order, SIGUSR1 cancels the run at the aggregator; a second signal does not wait."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

from fl_app.errors import Cancelled, Stopped


class Checks:
    """What is looked at between two batches: each raises if the fit is not to go on."""

    def __init__(self, *checks: Callable[[], None]) -> None:
        self._checks = list(checks)

    def add(self, check: Callable[[], None]) -> None:
        """Look at this as well."""
        self._checks.append(check)

    def __call__(self) -> None:
        """Look at all."""
        for check in self._checks:
            check()


class StopSignal:
    """Remembers that a signal has come, and tells whoever waits.

    Before there is a loop to tell, while the data is read, the signal raises :class:`Stopped` where it finds the
    process.
    """

    def __init__(self) -> None:
        self._set = threading.Event()
        self._post: Callable[[BaseException], None] | None = None
        self._in_order: Callable[[], None] | None = None
        self._cancel: Callable[[], None] | None = None

    def install(self, *, can_cancel: bool = False) -> None:
        """Handle the signals from now on; without ``can_cancel``, SIGUSR1 is left as it is."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)
        if can_cancel:
            signal.signal(signal.SIGUSR1, self._handle_cancel)

    def tell(
        self,
        post: Callable[[BaseException], None],
        *,
        in_order: Callable[[], None] | None = None,
        cancel: Callable[[], None] | None = None,
    ) -> None:
        """Have a loop told.

        Args:
            post: is given :class:`Stopped` when a signal comes.
            in_order: called instead at the first signal, by who wants to finish something.
            cancel: called at SIGUSR1.
        """
        self._in_order, self._cancel, self._post = in_order, cancel, post

    def check(self) -> None:
        """Raise :class:`Stopped` if a signal has come."""
        if self._set.is_set():
            raise Stopped("Stopped by a signal.")

    def _handle(self, number: int, _: FrameType | None) -> None:
        is_first = not self._set.is_set()
        self._set.set()
        stopped = Stopped(f"Stopped by {signal.Signals(number).name}.")
        if self._post is None:
            raise stopped
        if is_first and self._in_order:
            self._in_order()
        else:
            self._post(stopped)

    def _handle_cancel(self, _: int, __: FrameType | None) -> None:
        if self._cancel is None:
            raise Cancelled("Cancelled before the run was under way.")
        self._cancel()
