"""The first process of the world: makes it fit to live in, reaps what is orphaned in it, and ends with the keeper."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from infra.local.twin.world import kernel

_RESOLVER_FILE = Path("/etc/resolv.conf")
_UNTOUCHED = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC


def first_process(keeper: Callable[[], int]) -> int:
    """Be process 1: make the other namespaces, have the keeper run, and return its exit code.

    When process 1 ends, the kernel ends every process of the world; and as no namespace, mount or rule of it is known
    outside, nothing is left.

    Raises:
        OSError: a namespace or a mount is refused.
    """
    kernel.die_with_parent(signal.SIGKILL)
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS)
    _mounts()
    _loopback_up()
    child = os.fork()
    if child == 0:
        # A group of its own, and no share in what a terminal sends: the process outside passes signals on.
        os.setsid()
        code = 70
        try:
            code = keeper()
        finally:
            os._exit(code)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: _pass_on(child, number))
    return _reap_until(child)


def _mounts() -> None:
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    # A machine takes along a copy of every mount that is there when it boots, other machines' disks among them. It lets
    # go of them as they are unmounted here, if these are shared; or a disk would be attached for as long as it runs.
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_SHARED)
    kernel.mount("proc", "/proc", "proc", _UNTOUCHED)
    # Under /run are the names of network namespaces, which shall be ours alone, and often the resolver's file.
    resolver = _RESOLVER_FILE.resolve()
    kernel.mount("tmpfs", "/run", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    Path("/run/netns").mkdir()
    if resolver.is_relative_to("/run"):  # each node mounts its own over it, which needs a file to be there
        resolver.parent.mkdir(parents=True, exist_ok=True)
        resolver.touch()


def _loopback_up() -> None:
    """Set the interface ``lo`` up: SIOCSIFFLAGS, with the name and the flags in the kernel's ``struct ifreq``."""
    import fcntl
    import struct

    set_flags, is_up = 0x8914, 0x1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sH22x", b"lo", is_up))


def _pass_on(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _reap_until(child: int) -> int:
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
