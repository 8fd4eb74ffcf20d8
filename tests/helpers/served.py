"""Services of the twin on loopback: started on sockets of their own, asked over real connections, and ended."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from infra.local.twin.services.serving import shut

DEADLINE_SECONDS = 10.0


@contextmanager
def served(serve: Callable[..., None], *arguments: Any, kind: int = socket.SOCK_STREAM) -> Iterator[int]:
    """Run a service on a loopback socket and yield its port; afterwards it must end by itself once it is shut."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            sock.listen(64)
        thread = threading.Thread(target=serve, args=(sock, *arguments), daemon=True)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            shut(sock)
            thread.join(DEADLINE_SECONDS)
            assert not thread.is_alive(), "the service does not end when its socket is shut"


@dataclass(frozen=True)
class Answer:
    """What an HTTP server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(port: int, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Answer:
    """Ask in plain HTTP on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, told, answer.read())
    finally:
        connection.close()


def until_closed(sock: socket.socket) -> bytes:
    """Read until the other side closes; fails after the deadline."""
    sock.settimeout(DEADLINE_SECONDS)
    received = b""
    try:
        while piece := sock.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received
