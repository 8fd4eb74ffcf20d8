"""Network namespaces by name: made, entered, and given their devices.

Names live in ``/run/netns``, as with ``ip netns``; inside the twin's world that folder is its own. A namespace is
entered by a thread that ends afterwards: the rest of the process stays where it is. A socket keeps the namespace in
which it was made, so that sockets made here can be served from anywhere.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from infra.errors import FederateError
from infra.local.twin.world import kernel

FOLDER = Path("/run/netns")
_SYSCTLS = Path("/proc/sys/net")
_GET_FLAGS, _RUNNING = 0x8913, 0x40  # SIOCGIFFLAGS, IFF_RUNNING
_READY_SECONDS = 10.0
_POLL_SECONDS = 0.001

P = ParamSpec("P")
T = TypeVar("T")


class NetworkRefused(FederateError):
    """The kernel refuses what the twin's network needs; carries the words of the command that was refused."""

    exit_code = 6

    def __init__(self, doing: str, told: str) -> None:
        super().__init__(
            f"The twin's network cannot be made: {doing}\n  {told}",
            remedy="federate local down removes what was begun.",
        )


def call(name: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function in a namespace and return what it returns.

    It runs in a thread of its own: a child that is to die with its parent (PR_SET_PDEATHSIG) would die with that
    thread.

    Raises:
        NetworkRefused: there is no such namespace, or it cannot be entered.
        Exception: whatever the function raises.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            _enter(name)
            results.append(function(*args, **kwargs))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=enter, name=f"in {name}", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def popen(name: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a process in a namespace; ``options`` are those of :class:`subprocess.Popen`."""

    def start() -> subprocess.Popen[Any]:
        return subprocess.Popen(argv, **options)  # noqa: S603 - what to start is the caller's to say

    return call(name, start)


def ip(lines: Sequence[str], namespace: str | None = None) -> None:
    """Run lines of ``ip -batch``, all in one process.

    Args:
        lines: commands without the word ``ip``.
        namespace: where; None for the namespace of the caller.

    Raises:
        NetworkRefused: names the first line that was refused; those before it are done.
    """
    if not lines:
        return
    done = _run(["ip", "-batch", "-"], "\n".join(lines) + "\n", namespace)
    if done.returncode:
        told = done.stderr.strip()
        failed = told.rpartition("Command failed -:")[2]
        line = lines[int(failed) - 1] if failed.isdigit() and 0 < int(failed) <= len(lines) else lines[0]
        raise NetworkRefused(_where(f"ip {line}", namespace), told)


def nft(namespace: str, ruleset: str) -> None:
    """Load nft text in one transaction: all of it, or nothing.

    Raises:
        NetworkRefused: in nft's own words.
    """
    done = _run(["nft", "-f", "-"], ruleset, namespace)
    if done.returncode:
        raise NetworkRefused(_where("nft", namespace), done.stderr.strip())


def sysctl(namespace: str, values: Iterable[tuple[str, str]]) -> None:
    """Write values below ``/proc/sys/net``; one that this kernel does not have is passed over.

    Raises:
        NetworkRefused: a value that it has cannot be set.
    """

    def write() -> None:
        for name, value in values:
            path = _SYSCTLS / name
            if not path.exists():
                continue
            try:
                path.write_text(value)
            except OSError as error:
                raise NetworkRefused(_where(f"net/{name} = {value}", namespace), str(error)) from error

    call(namespace, write)


def wait_until_running(namespace: str, devices: Iterable[str]) -> None:
    """Wait until devices carry packets: the kernel takes a cable into use a moment after both its ends are up.

    Raises:
        NetworkRefused: one does not within seconds.
    """
    deadline = time.monotonic() + _READY_SECONDS

    def wait() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            for device in devices:
                request = struct.pack("16s24x", device.encode())
                while not struct.unpack_from("h", fcntl.ioctl(any_socket, _GET_FLAGS, request), 16)[0] & _RUNNING:
                    if time.monotonic() > deadline:
                        raise NetworkRefused(_where(f"wait for {device}", namespace), "It does not come up.")
                    time.sleep(_POLL_SECONDS)

    call(namespace, wait)


def create(wanted: Iterable[str]) -> None:
    """Make namespaces."""
    ip([f"netns add {name}" for name in wanted])


def delete(unwanted: Iterable[str]) -> None:
    """Remove names; the kernel ends a namespace with the last process and socket in it."""
    ip([f"netns del {name}" for name in unwanted])


def names() -> frozenset[str]:
    """Return the names of all namespaces."""
    return frozenset(path.name for path in FOLDER.iterdir()) if FOLDER.is_dir() else frozenset()


def exists(name: str) -> bool:
    """Say whether there is a namespace of this name."""
    return (FOLDER / name).exists()


def _enter(name: str) -> None:
    try:
        descriptor = os.open(FOLDER / name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NetworkRefused(f"enter the namespace {name}", str(error)) from error
    try:
        kernel.setns(descriptor, kernel.CLONE_NEWNET)
    except OSError as error:
        raise NetworkRefused(f"enter the namespace {name}", str(error)) from error
    finally:
        os.close(descriptor)


def _run(argv: Sequence[str], text: str, namespace: str | None) -> subprocess.CompletedProcess[str]:
    def run() -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(argv, input=text, capture_output=True, text=True, check=False)  # noqa: S603
        except FileNotFoundError as error:
            packages = {"ip": "iproute2", "nft": "nftables"}
            raise NetworkRefused(
                f"run {argv[0]}", f"{error.strerror}: install the package {packages[argv[0]]}"
            ) from error

    return run() if namespace is None else call(namespace, run)


def _where(doing: str, namespace: str | None) -> str:
    return doing if namespace is None else f"{doing} (in {namespace})"
