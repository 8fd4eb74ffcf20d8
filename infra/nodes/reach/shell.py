"""A shell on a node in this terminal: keys go there as they are pressed, and what is drawn there is drawn here."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from typing import Any

import paramiko

from infra.nodes.reach.outcome import NobodyAnswers
from infra.nodes.reach.ssh import connected
from infra.nodes.remote import Remote

_PIECE_BYTES = 65_536
_BY_SIGNAL = 255


def interact(remote: Remote, command: str | None = None) -> int:
    """Run a shell on a node, or one command with this terminal's input and output, until it ends.

    Args:
        remote: the node.
        command: a line of shell; None for a login shell.

    Returns:
        Its exit code.

    Raises:
        NobodyAnswers: the connection breaks; and what :func:`~infra.nodes.reach.ssh.connected` raises.
    """
    with connected(remote) as client:
        transport = client.get_transport()
        try:
            if transport is None:
                raise paramiko.SSHException("the connection is closed")
            transport.set_keepalive(30)
            channel = transport.open_session()
            with contextlib.closing(channel), _terminal(channel, is_shell=command is None):
                if command is None:
                    channel.invoke_shell()
                else:
                    channel.exec_command(command)
                _pump(channel)
                code = channel.recv_exit_status()
        except (paramiko.SSHException, EOFError, ConnectionError) as error:
            raise NobodyAnswers(remote, f"the SSH connection broke ({error or type(error).__name__})") from None
    return code if code >= 0 else _BY_SIGNAL


@contextlib.contextmanager
def _terminal(channel: paramiko.Channel, *, is_shell: bool) -> Iterator[None]:
    """Let a shell have a terminal of this one's size, and this one pass every key on; restore it at the end."""
    if not (is_shell and sys.stdin.isatty()):
        yield
        return
    own = sys.stdin.fileno()
    before = termios.tcgetattr(own)

    def size(*_: Any) -> None:
        columns, lines = shutil.get_terminal_size()
        with contextlib.suppress(paramiko.SSHException):
            channel.resize_pty(columns, lines)

    columns, lines = shutil.get_terminal_size()
    channel.get_pty(os.environ.get("TERM", "xterm"), columns, lines)
    resized = signal.signal(signal.SIGWINCH, size)
    try:
        tty.setraw(own, termios.TCSADRAIN)  # what was typed while the connection was made counts
        yield
    finally:
        signal.signal(signal.SIGWINCH, resized)
        termios.tcsetattr(own, termios.TCSADRAIN, before)


def _pump(channel: paramiko.Channel) -> None:
    """Carry input there and both outputs back, until the command has ended and all of it is here."""
    errors = threading.Thread(target=_copy, args=(channel.recv_stderr, sys.stderr), daemon=True)
    outputs = threading.Thread(target=_copy, args=(channel.recv, sys.stdout), daemon=True)
    ended, end = os.pipe()
    watcher = threading.Thread(target=_wait_for, args=((errors, outputs), end), daemon=True)
    for thread in (errors, outputs, watcher):
        thread.start()
    try:
        _send_input(channel, ended)
        watcher.join()
    finally:
        os.close(ended)


def _send_input(channel: paramiko.Channel, ended: int) -> None:
    """Send what is typed until nothing more comes, or the other end has had enough."""
    try:
        own = sys.stdin.fileno()
    except (OSError, ValueError):  # there is no input at all
        channel.shutdown_write()
        return
    while True:
        ready, _, _ = select.select([own, ended], [], [])
        if ended in ready:
            return
        piece = os.read(own, _PIECE_BYTES)
        if not piece:
            channel.shutdown_write()
            return
        try:
            channel.sendall(piece)
        except OSError:  # it has closed its input, or is gone
            return


def _copy(receive: Any, into: Any) -> None:
    with contextlib.suppress(OSError, EOFError, ValueError):
        while piece := receive(_PIECE_BYTES):
            into.buffer.write(piece)
            into.buffer.flush()


def _wait_for(threads: tuple[threading.Thread, ...], end: int) -> None:
    for thread in threads:
        thread.join()
    os.close(end)
