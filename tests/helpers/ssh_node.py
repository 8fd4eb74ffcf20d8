"""A node's SSH server on loopback: paramiko's. It asks for its keys as the image's does, and runs what it is told."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import StringIO

import paramiko
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def new_key() -> paramiko.PKey:
    """Return a new Ed25519 key."""
    private = ed25519.Ed25519PrivateKey.generate()
    text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return paramiko.Ed25519Key.from_private_key(StringIO(text))


def line(key: paramiko.PKey) -> str:
    """Return a public key as OpenSSH writes it."""
    return f"{key.get_name()} {key.get_base64()}"


@dataclass
class SshNode:
    """The server.

    Args:
        keys_of: public keys that admit a user now.
        key: the host key that it shows.
        users: who came in.
        refused: how many keys were refused.
        pty: size of the terminal that was asked for last.
    """

    keys_of: Callable[[str], list[str]]
    key: paramiko.PKey = field(default_factory=new_key)
    users: list[str] = field(default_factory=list)
    refused: int = 0
    pty: tuple[int, int] | None = None
    is_silent: bool = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[tuple[str, int]]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=self._serve, args=(listener,), daemon=True)
            thread.start()
            yield listener.getsockname()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)

    def _serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                if self.is_silent:
                    connection.close()
                    continue
                transport = paramiko.Transport(connection)
                transport.add_server_key(self.key)
                with contextlib.suppress(paramiko.SSHException, EOFError):
                    transport.start_server(server=_Server(self))


class _Server(paramiko.ServerInterface):
    def __init__(self, node: SshNode) -> None:
        self._node = node

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if line(key) in self._node.keys_of(username):
            self._node.users.append(username)
            return paramiko.AUTH_SUCCESSFUL
        self._node.refused += 1
        return paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_pty_request(
        self, channel: paramiko.Channel, term: bytes, width: int, height: int, *_: object
    ) -> bool:
        self._node.pty = (width, height)
        return True

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        return _run(channel, ["/bin/sh", "-c", command.decode()])

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        return _run(channel, ["/bin/sh"])


def _run(channel: paramiko.Channel, command: list[str]) -> bool:
    threading.Thread(target=_pipe, args=(channel, command), daemon=True).start()
    return True


def _pipe(channel: paramiko.Channel, command: list[str]) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        copies = [
            threading.Thread(target=_copy, args=(child.stdout, channel.sendall), daemon=True),
            threading.Thread(target=_copy, args=(child.stderr, channel.sendall_stderr), daemon=True),
        ]
        for thread in copies:
            thread.start()
        threading.Thread(target=_feed, args=(channel, child), daemon=True).start()
        for thread in copies:
            thread.join()
        code = child.wait()
    with contextlib.suppress(OSError):
        channel.send_exit_status(code)
        channel.close()


def _copy(source: object, send: Callable[[bytes], object]) -> None:
    with contextlib.suppress(OSError):
        while piece := source.read1(65_536):  # type: ignore[attr-defined]
            send(piece)


def _feed(channel: paramiko.Channel, child: subprocess.Popen[bytes]) -> None:
    """Pass on what the operator sends. As OpenSSH's, it leaves alone what runs when the connection is gone."""
    assert child.stdin is not None
    with contextlib.suppress(OSError, ValueError):
        while piece := channel.recv(65_536):
            child.stdin.write(piece)
            child.stdin.flush()
        child.stdin.close()
