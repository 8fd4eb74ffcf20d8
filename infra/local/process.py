"""Processes that outlive the command that started them: recognised by when they began, so that only ours is ended."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
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


def running(modules: Iterable[str], folder: Path) -> list[tuple[int, str]]:
    """Return the processes (number, mark) that run one of these modules of ours for a folder.

    A command that is killed just after it has started something cannot write down that it did; so what runs is found by
    its command line, on which the folder stands.

    Args:
        modules: as after ``python -m``.
        folder: a path; an argument that is this path, or one below it, shows that the process is for it.
    """
    wanted, text = set(modules), str(folder)
    found = []
    for pid, arguments in _command_lines():
        is_ours = len(arguments) > 2 and arguments[1] == "-m" and arguments[2] in wanted
        if is_ours and any(part == text or part.startswith(f"{text}{os.sep}") for part in arguments[3:]):
            began = started_at(pid)
            if began is not None:
                found.append((pid, began))
    return found


def reaching(endpoint: str, option: str, folder: Path) -> list[tuple[int, str]]:
    """Return the processes that were told to reach an endpoint of AWS and given a path below a folder with an option.

    Only Linux shows a process's environment; elsewhere none is found.
    """
    wanted = f"AWS_ENDPOINT_URL={endpoint}".encode()
    found = []
    for pid, arguments in _command_lines():
        given = [path for name, path in itertools.pairwise(arguments) if name == option]
        if any(Path(path).is_relative_to(folder) for path in given):
            with contextlib.suppress(OSError):
                if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") and (began := started_at(pid)):
                    found.append((pid, began))
    return found


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    if Path("/proc/self/cmdline").exists():
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                yield int(path.parent.name), path.read_text(errors="replace").split("\0")
        return
    told = subprocess.run(["ps", "-axo", "pid=,command="], capture_output=True, text=True, check=False)  # noqa: S607
    for line in told.stdout.splitlines():
        number, *arguments = line.split()
        yield int(number), arguments


def group(leader: int) -> list[int]:
    """Return the processes of a group, by its leader's number."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            # After the name in parentheses: state, parent, group.
            if int(path.read_text().rsplit(")", 1)[1].split()[2]) == leader:
                found.append(int(path.parent.name))
    if not Path("/proc/self/stat").exists():
        told = subprocess.run(["ps", "-axo", "pid=,pgid="], capture_output=True, text=True, check=False)  # noqa: S607
        pairs = (line.split() for line in told.stdout.splitlines())
        found = [int(pid) for pid, of in pairs if int(of) == leader]
    return found


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
