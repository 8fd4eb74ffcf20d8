"""``progress.json``: where a node stands, for whoever looks."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from fl_app.errors import StateError
from fl_app.rounds.files import write_json


class Shown:
    """A file with the last of what was shown. What changes too fast to be read is written when it has come to rest.

    A write costs some 0.8 ms, which a round of 25 ms would pay several times.

    Args:
        path: the file.
        pause: seconds from one write to the next; what is shown meanwhile is written when they are over.
    """

    def __init__(self, path: Path, *, pause: float = 0.0) -> None:
        self._path, self._pause = path, pause
        self._lock = threading.Lock()
        self._last: dict[str, Any] | None = None
        self._written: dict[str, Any] | None = None
        self._written_at = float("-inf")
        self._timer: threading.Timer | None = None
        self._failure: StateError | None = None

    def show(self, now: dict[str, Any], *, at_once: bool = False) -> None:
        """Show this from now on.

        Args:
            now: JSON.
            at_once: write it before returning.

        Raises:
            StateError: it cannot be written, or what was shown before could not.
        """
        with self._lock:
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
            self._last = now
            if now == self._written:
                return
            left = self._written_at + self._pause - time.monotonic()
            if at_once or left <= 0:
                self._write()
            elif self._timer is None:
                self._timer = threading.Timer(left, self._later)
                self._timer.daemon = True
                self._timer.start()

    def _later(self) -> None:
        with self._lock:
            self._timer = None
            try:
                self._write()
            except StateError as error:
                self._failure = error  # whoever shows next is told

    def _write(self) -> None:
        if self._last != self._written:
            write_json(self._path, self._last, durable=False)
            self._written = self._last
        self._written_at = time.monotonic()
