"""The SHA-256 of a message's body, worked out beside its sending or receiving where the body is large.

A large body is hashed by another thread while this one waits for the network: :mod:`hashlib` holds no lock meanwhile.
It is a property of the body alone, so one that goes to many sites is hashed once.
"""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from fl_app.transport.memory import Buffer

#: Bytes that are worth waking another thread for: some milliseconds of hashing.
_STEP = 4 << 20

_threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="hash")


class BodyHash:
    """The hash of a body that is filled from its beginning. One thread says how far it is, any may ask for the hash."""

    def __init__(self, body: Buffer | memoryview, filled: int | None = None) -> None:
        """Hash a body.

        Args:
            body: its memory, at its full length.
            filled: bytes of it that are there; all, if left out.
        """
        self._body, self._hash = body, hashlib.sha256()
        self._changed = threading.Condition()
        self._wanted = self._done = 0
        self._works = False
        self.filled(len(body) if filled is None else filled)

    def filled(self, size: int) -> None:
        """Say that so many bytes are there by now."""
        if len(self._body) < _STEP:
            self._update(self._done, size)
            return
        with self._changed:
            self._wanted = size
            is_due = size - self._done >= _STEP or size == len(self._body)
            if is_due and not self._works:
                self._works = True
                _threads.submit(self._work)

    def with_header(self, header: bytes) -> str:
        """Return the SHA-256 of the body followed by its message's header, once the body is hashed."""
        with self._changed:
            self._changed.wait_for(lambda: self._done == len(self._body))
        whole = self._hash.copy()
        whole.update(header)
        return whole.hexdigest()

    def _work(self) -> None:
        while True:
            with self._changed:
                start, stop = self._done, self._wanted
                if start == stop:
                    self._works = False
                    self._changed.notify_all()
                    return
            self._update(start, stop)

    def _update(self, start: int, stop: int) -> None:
        with memoryview(self._body) as whole, whole[start:stop] as part:
            self._hash.update(part)
        self._done = stop
