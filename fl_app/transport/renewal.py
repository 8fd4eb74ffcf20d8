"""A node's identity may change while it runs: its folder is looked at, and what is new and good is taken over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from fl_app.errors import IdentityError
from fl_app.transport.identity import FILES, Credentials, load_credentials

_log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0

_State = tuple[object, ...]


class Watcher:
    """Looks at the folder once a second, on a thread of its own, and hands on what it reads there."""

    def __init__(self, credentials: Credentials, renew: Callable[[Credentials], None]) -> None:
        """Watch the folder that these credentials came from.

        Args:
            credentials: what is in use.
            renew: told of others, on the watcher's thread or that of :meth:`look`.
        """
        self._credentials, self._renew = credentials, renew
        self._seen = _state_of(credentials.folder)
        self._first = True
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="identity", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def look(self) -> bool:
        """Look now; True if other credentials than before have been taken over."""
        with self._lock:
            state = _state_of(self._credentials.folder)
            if state == self._seen and not self._first:
                return False
            self._seen, self._first = state, False
            own = self._credentials.peer
            try:
                found = load_credentials(
                    self._credentials.folder, federation=own.federation, role=own.role, node=own.node
                )
            except IdentityError as error:
                _log.warning("%s\n  The identity from before stays in use.", error)
                return False
            if found == self._credentials:
                return False
            self._credentials = found
            _log.info("the identity in %s has changed; it is used from now on", found.folder)
            self._renew(found)
            return True

    def _run(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            self.look()


def _state_of(folder: Path) -> _State:
    """Return what changes whenever the folder's link or one of its files does."""
    real = folder.resolve()
    found: list[object] = [str(real)]
    for name in FILES:
        try:
            stat = (real / name).stat()
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        except OSError:
            found.append(None)
    return tuple(found)
