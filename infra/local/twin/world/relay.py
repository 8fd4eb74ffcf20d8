"""AWS on loopback, under the same address in the world as outside: accepts, asks for a connection, and passes bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from infra.local.twin.world.outside import connection

_BYTES = 1 << 18
_BREATH_SECONDS = 0.05


class Relay:
    """Listens in the world's own network.

    Args:
        address: where; the emulator's address outside.
        asked: the socket over which connections are asked for.
    """

    def __init__(self, address: tuple[str, int], asked: socket.socket) -> None:
        self._asked = asked
        self._one_at_a_time = threading.Lock()
        self._listener = socket.create_server(address, backlog=256)
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:  # no descriptor is free, which passes
                time.sleep(_BREATH_SECONDS)
                continue
            threading.Thread(target=self._connect, args=(accepted,), daemon=True).start()

    def _connect(self, accepted: socket.socket) -> None:
        try:
            with self._one_at_a_time:
                made = connection(self._asked)
        except OSError:
            made = None
        if made is None:
            accepted.close()
            return
        for end in (accepted, made):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=pump, args=(made, accepted), daemon=True).start()
        pump(accepted, made)


def pump(source: socket.socket, target: socket.socket) -> None:
    """Pass what one socket says on to the other, until it has said all; then the other is told so."""
    with contextlib.suppress(OSError):
        while said := source.recv(_BYTES):
            target.sendall(said)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
    with contextlib.suppress(OSError):
        source.shutdown(socket.SHUT_RD)
