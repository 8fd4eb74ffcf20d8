"""Work on several accounts at once that can be stopped: Ctrl-C reaches every worker, and all of them are waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from infra.errors import FederateError

T = TypeVar("T")
#: One run of the CDK command is a process of 200 MB; further groups wait for a place.
MOST_AT_ONCE = 8


class Interrupted(FederateError):
    """The user stopped the command."""

    exit_code = 130


class Stop:
    """Tells workers that the user wants to stop."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Stop: whoever pauses, now or later, is interrupted."""
        self._event.set()

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Interrupted: the user stopped the command.
        """
        if self._event.wait(seconds):
            raise Interrupted("stopped")


def wait_until(
    is_so: Callable[[], bool], stop: Stop, *, poll_seconds: float = 0.5, timeout_seconds: float | None = None
) -> bool:
    """Wait for a condition; return whether it came true in time."""
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    while not is_so():
        if deadline is not None and time.monotonic() >= deadline:
            return False
        stop.pause(poll_seconds)
    return True


def side_by_side(
    items: Sequence[T], work: Callable[[T], Iterable[FederateError]], *, on_interrupt: Callable[[], None]
) -> list[FederateError]:
    """Work on all items at once; one that fails stops no other.

    Args:
        items: what to work on.
        work: returns or raises what went wrong.
        on_interrupt: makes the workers end; called on Ctrl-C.

    Returns:
        All that went wrong, in the order of the items.

    Raises:
        KeyboardInterrupt: after every worker has ended.
    """
    if not items:
        return []

    def attempt(item: T) -> list[FederateError]:
        try:
            return list(work(item))
        except FederateError as error:
            return [error]

    with ThreadPoolExecutor(min(len(items), MOST_AT_ONCE)) as pool:
        futures: list[Future[list[FederateError]]] = []
        try:
            futures += (pool.submit(attempt, item) for item in items)
            wait(futures)
        except KeyboardInterrupt:
            for future in futures:
                future.cancel()
            on_interrupt()
            raise
    return [error for future in futures for error in future.result()]
