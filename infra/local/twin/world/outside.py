"""The process on the host's side: makes the world, connects it with AWS on loopback, and is gone with it.

It stays in the host's network, so it can do what nothing in the world can: connect to the emulator on 127.0.0.1. It
hands such connections into the world, one for each byte that it is sent.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from infra.local.twin.world import inside, kernel

_POLL_SECONDS = 0.2
_ASK, _SORRY, _HERE = b"c", b"x", b"s"


def live(emulator: tuple[str, int], keeper: Callable[[socket.socket], int]) -> int:
    """Make a world, have the keeper run in it, and serve it until it ends.

    Args:
        emulator: address of AWS on loopback.
        keeper: runs in the world, as a child of the world's first process; it is given the socket over which
            connections to the emulator are asked for. Its result is the exit code.

    Returns:
        The keeper's exit code; 128 and the signal's number where one has ended the world.

    Raises:
        OSError: the kernel does not let us make the namespaces.
    """
    ours, theirs = socket.socketpair()
    _become_root_of_a_user_namespace()
    kernel.unshare(kernel.CLONE_NEWPID)
    first = os.fork()
    if first == 0:
        ours.close()
        code = 1
        try:
            code = inside.first_process(lambda: keeper(theirs))
        except OSError as error:
            print(f"the twin's world cannot be made: {error}", file=sys.stderr)
        finally:
            os._exit(code)
    theirs.close()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: _pass_on(first, number))
    return _serve(ours, emulator, first)


def connection(asked: socket.socket) -> socket.socket | None:
    """Ask for a connection to the emulator; the keeper's side. Not for two threads at once.

    Returns:
        A connected TCP socket of the host's network; None where the emulator does not answer.

    Raises:
        OSError: the process outside is gone.
    """
    asked.sendall(_ASK)
    said, descriptors, _, _ = socket.recv_fds(asked, 1, 1)
    if not said:
        raise ConnectionResetError("the twin's process outside of its world is gone")
    return socket.socket(fileno=descriptors[0]) if descriptors else None


def _become_root_of_a_user_namespace() -> None:
    """Be root among namespaces that are ours alone, where we are not root; root stays what it is."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        return
    kernel.unshare(kernel.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def _pass_on(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _serve(ours: socket.socket, emulator: tuple[str, int], first: int) -> int:
    with selectors.DefaultSelector() as selector:
        selector.register(ours, selectors.EVENT_READ)
        while True:
            ready = selector.select(_POLL_SECONDS)
            if ready and ours.recv(1):
                _hand_over(ours, emulator)
            elif ready:
                selector.unregister(ours)  # the keeper has ended; so will the world
            ended, status = os.waitpid(first, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


def _hand_over(ours: socket.socket, emulator: tuple[str, int]) -> None:
    try:
        made = socket.create_connection(emulator, timeout=5)
    except OSError:
        ours.sendall(_SORRY)
        return
    with made:
        made.settimeout(None)
        socket.send_fds(ours, [_HERE], [made.fileno()])
