"""Processes that outlive the command that started them: recognised by when they began, so that only ours is ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

_POLL_SECONDS = 0.05


def started_at(pid: int) -> str | None:
    """Return a mark of when a process began, the same for as long as it runs; None if there is none.

    Linux tells the clock ticks since boot in ``/proc``; elsewhere ``ps`` tells the date.
    """
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The second field, the name, is in parentheses and may hold anything; the 22nd field is the start.
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            return None
        return None if fields[0] == "Z" else fields[19]
    told = subprocess.run(  # noqa: S603 - a fixed command with a number
        ["ps", "-o", "lstart=", "-p", str(pid)],  # noqa: S607 - ps is where the system has it
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() or None


def is_running(pid: int, began: str) -> bool:
    """Say whether the process is still the one that began then, and not another with its number."""
    return started_at(pid) == began


def end(pid: int, began: str, *, grace_seconds: float = 5.0, with_its_group: bool = False) -> None:
    """End a process that we started: ask, then insist. Does nothing if it is gone, or the number is another's now.

    Args:
        pid: the process.
        began: its mark of :func:`started_at`.
        grace_seconds: how long it is given to end in order.
        with_its_group: end what it has started and left behind, too; it must lead a process group of its own.
    """
    if with_its_group and is_running(pid, began):
        _end_one(pid, began, grace_seconds)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    else:
        _end_one(pid, began, grace_seconds)


def _end_one(pid: int, began: str, grace_seconds: float) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not is_running(pid, began):
            return
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + grace_seconds
        while is_running(pid, began) and time.monotonic() < deadline:
            reap(pid)
            time.sleep(_POLL_SECONDS)


def reap(pid: int) -> None:
    """Collect the process if it is a child of this one; otherwise it would stay as a zombie."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
