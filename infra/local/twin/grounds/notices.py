"""The notices that the twin's metadata services give, by instance."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from infra.local.twin.services.metadata.instance import Announced, NoticeKind


class Announcements:
    """What is about to be done to which instance. Threads share it."""

    def __init__(self) -> None:
        self._notices: dict[tuple[str, NoticeKind], Announced] = {}
        self._lock = threading.Lock()

    def add(self, instance: str, kind: NoticeKind, after_seconds: float) -> None:
        """Give a notice; one of the same kind is replaced."""
        now = datetime.now(UTC)
        with self._lock:
            self._notices[instance, kind] = Announced(kind, now, now + timedelta(seconds=after_seconds))

    def remove(self, instance: str, kind: NoticeKind) -> None:
        """Take a notice back, if there is one."""
        with self._lock:
            self._notices.pop((instance, kind), None)

    def of(self, instance: str) -> Sequence[Announced]:
        """Return the notices that an instance has now."""
        with self._lock:
            return [notice for (whose, _), notice in self._notices.items() if whose == instance]
