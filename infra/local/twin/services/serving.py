"""Serve on a listening socket that somebody else made: a thread per connection, and never too many of them."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

_log = logging.getLogger(__name__)

#: How often a waiting accept or receive looks whether its socket was closed rather than shut.
POLL_SECONDS = 1.0
#: For how long the end of a service waits for its connections.
_END_SECONDS = 5.0
_HANDSHAKE_SECONDS = 10.0
#: Where the process has no descriptor left, accepting again at once would only turn in circles.
_BREATH_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections are open at once; a further one is closed at once.

    Args:
        connections: of everybody together.
        per_address: of one source address, so that one node cannot keep others out.
    """

    connections: int = 512
    per_address: int = 64


def shut(served: socket.socket) -> None:
    """End the service on a socket from another thread: its ``serve…`` returns. The caller closes the socket after."""
    try:
        if served.type == socket.SOCK_DGRAM:
            served.connect(served.getsockname())  # one without a partner cannot be shut
    except OSError:
        served.close()  # no way to itself, as without a loopback interface; this is noticed too, only not at once
    with contextlib.suppress(OSError):
        socket.socket.shutdown(served, socket.SHUT_RDWR)


def serve_connections(
    listener: socket.socket,
    handle: Callable[[socket.socket, str], None],
    *,
    limits: Limits = Limits(),
    wrap: Callable[[socket.socket], socket.socket] | None = None,
) -> None:
    """Accept until the listener is shut or closed, then end the open connections and return.

    Args:
        listener: bound and listening.
        handle: speaks on one connection, in a thread of its own; is given the socket and the source address. What it
            raises ends that connection only.
        limits: how many connections at once.
        wrap: makes a connection a secure one, within some seconds, in the connection's thread.
    """
    _Connections(listener, handle, limits, wrap).accept()


class _Connections:
    def __init__(
        self,
        listener: socket.socket,
        handle: Callable[[socket.socket, str], None],
        limits: Limits,
        wrap: Callable[[socket.socket], socket.socket] | None,
    ) -> None:
        self._listener = listener
        self._handle = handle
        self._limits = limits
        self._wrap = wrap
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._of: Counter[str] = Counter()

    def accept(self) -> None:
        self._listener.settimeout(POLL_SECONDS)
        while True:
            try:
                connection, (address, *_) = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if self._listener.fileno() == -1 or not _listens(self._listener):
                    break
                _log.warning("a connection is not accepted: %s", error)
                time.sleep(_BREATH_SECONDS)
                continue
            self._begin(connection, address)
        self._end()

    def _begin(self, connection: socket.socket, address: str) -> None:
        thread = threading.Thread(target=self._run, args=(connection, address), daemon=True)
        with self._lock:
            if len(self._open) >= self._limits.connections or self._of[address] >= self._limits.per_address:
                connection.close()
                return
            self._open[thread] = connection
            self._of[address] += 1
        try:
            thread.start()
        except RuntimeError as error:  # no thread to be had
            _log.warning("%s", error)
            self._forget(thread, address)
            connection.close()

    def _run(self, connection: socket.socket, address: str) -> None:
        this = threading.current_thread()
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(_HANDSHAKE_SECONDS)
            if self._wrap is not None:
                connection = self._wrap(connection)
                with self._lock:
                    self._open[this] = connection
            self._handle(connection, address)
        except OSError as error:
            _log.debug("connection of %s: %s", address, error)
        except Exception:
            _log.exception("connection of %s", address)
        finally:
            self._forget(this, address)
            connection.close()

    def _forget(self, thread: threading.Thread, address: str) -> None:
        with self._lock:
            del self._open[thread]
            self._of[address] -= 1
            if not self._of[address]:
                del self._of[address]

    def _end(self) -> None:
        with self._lock:
            still = dict(self._open)
        for connection in still.values():
            shut(connection)
        deadline = time.monotonic() + _END_SECONDS
        for thread in still:
            thread.join(max(0.0, deadline - time.monotonic()))


def _listens(listener: socket.socket) -> bool:
    try:
        return bool(listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False
