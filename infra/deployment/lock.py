"""One command at a time changes a federation."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from infra.errors import FederateError


class Busy(FederateError):
    """Another command is changing this federation."""

    exit_code = 4


@contextlib.contextmanager
def alone(home: Path, federation: str, doing: str) -> Iterator[None]:
    """Hold the federation for this process.

    Args:
        home: folder of the toolkit's local state.
        federation: the federation's name.
        doing: what is done, for whoever comes meanwhile: ``deploy``.

    Raises:
        Busy: another process holds it.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = home / f"{federation}.lock"
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text("utf-8").strip()
            raise Busy(
                f"Another command is changing {federation} ({holder}).", remedy="Wait for it, or stop it with Ctrl-C."
            ) from None
        lock.truncate(0)
        lock.write(f"{doing}, process {os.getpid()}")
        lock.flush()
        yield
