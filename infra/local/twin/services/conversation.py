"""The server's side of HTTP/1.1 on one connection, with a bound on everything that the other side can make it keep."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import h11

_PIECE = 64 * 1024
_MAX_HEAD = 32 * 1024

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the other side may take, in seconds.

    Args:
        head: from the end of one request to the end of the next one's head.
        piece: for each piece of a body, either way.
        drain: for what it still sends after it was refused.
    """

    head: float = 30.0
    piece: float = 60.0
    drain: float = 5.0


class BadRequest(Exception):
    """What arrived is no HTTP/1.1, too large, or too slow.

    Args:
        status: of the answer that is due.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Conversation:
    """Requests and answers on one connection, one after the other.

    Args:
        connection: a connected socket, plain or TLS.
        patience: how long is waited.
        seen: is shown each request's head and then its body piece by piece, as they were sent, without the framing
            of chunks.
    """

    def __init__(
        self,
        connection: socket.socket,
        patience: Patience = Patience(),
        *,
        seen: Callable[[bytes], None] | None = None,
    ) -> None:
        self._connection = connection
        self._patience = patience
        self._seen = seen or (lambda _: None)
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD)
        self._unread = b""
        self._method = b""
        #: Who waits to be asked for the body, and is refused instead, sends none.
        self._body_comes = True

    def request(self) -> h11.Request | None:
        """Wait for the next request's head; None when there is none any more.

        Raises:
            BadRequest: what arrived is no request.
            OSError: the connection broke.
        """
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        if self._http.our_state is not h11.IDLE:
            return None
        self._method, self._body_comes = b"", True
        deadline = time.monotonic() + self._patience.head
        try:
            event = self._next(lambda: deadline - time.monotonic())
        except TimeoutError:
            return None  # silent, or too slow to wait for
        if not isinstance(event, h11.Request):
            return None
        self._method = event.method
        self._seen(_head(event))
        return event

    def body(self) -> Iterator[bytes]:
        """Yield the request's body as it arrives; asks for it if the other side waits to be asked.

        Raises:
            BadRequest: the framing is broken, or it ended early.
            OSError: the connection broke, or was silent for too long.
        """
        if self._http.they_are_waiting_for_100_continue:
            self._write(h11.InformationalResponse(status_code=100, headers=[]))
        yield from self._read_body(lambda: self._patience.piece)

    def body_within(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            BadRequest: it is longer than ``limit`` bytes.
            OSError: the connection broke, or was silent for too long.
        """
        whole = bytearray()
        deadline = time.monotonic() + self._patience.piece
        for piece in self._read_body(lambda: deadline - time.monotonic()):
            whole += piece
            if len(whole) > limit:
                raise BadRequest(413, "The body is too long")
        return bytes(whole)

    @property
    def is_read(self) -> bool:
        """Whether the request's body was read to its end."""
        return self._http.their_state in (h11.DONE, h11.MUST_CLOSE)

    def answer(self, status: int, body: bytes, headers: Headers = (), *, last: bool = False) -> None:
        """Send a whole answer.

        Args:
            status: of HTTP.
            body: left out in the answer to HEAD.
            headers: besides Content-Length.
            last: the connection is to be used no more.
        """
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        self._take_what_came()
        self._body_comes = not self._http.they_are_waiting_for_100_continue
        framed = [*headers, ("Content-Length", str(len(body)))]
        if last or not self.is_read:
            framed.append(("Connection", "close"))
        self.begin(h11.Response(status_code=status, headers=framed))
        if body and self._method != b"HEAD":
            self.send(body)
        self.end()

    def begin(self, response: h11.Response) -> None:
        """Send an answer's head; its body and :meth:`end` follow."""
        self._write(response)

    def send(self, piece: bytes) -> None:
        """Send a piece of the answer's body."""
        self._write(h11.Data(data=piece))

    def end(self) -> None:
        """End the answer."""
        self._write(h11.EndOfMessage())

    def drain(self, limit: int) -> None:
        """Take what the other side still sends of a request that was answered early, up to ``limit`` bytes.

        A connection that is closed with bytes unread is reset, and the answer can be lost with it.
        """
        if not self._body_comes:
            return
        deadline = time.monotonic() + self._patience.drain
        try:
            for piece in self._read_body(lambda: deadline - time.monotonic()):
                limit -= len(piece)
                if limit < 0:
                    return
        except (OSError, BadRequest):
            return

    def _take_what_came(self) -> None:
        """Take what has already arrived of a body that nobody wants, so that the connection can go on if it was all."""
        with contextlib.suppress(h11.RemoteProtocolError):
            while self._http.their_state is h11.SEND_BODY:
                event = self._http.next_event()
                if isinstance(event, h11.Data):
                    self._seen(bytes(event.data))
                elif not isinstance(event, h11.EndOfMessage):
                    return

    def _read_body(self, seconds_left: Callable[[], float]) -> Iterator[bytes]:
        while self._http.their_state is h11.SEND_BODY:
            event = self._next(seconds_left)
            if isinstance(event, h11.Data):
                self._seen(bytes(event.data))
                yield bytes(event.data)
            elif not isinstance(event, h11.EndOfMessage):
                raise BadRequest(400, "The body ended early")

    def _next(self, seconds_left: Callable[[], float]) -> object:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                left = seconds_left()
                if left <= 0:
                    raise TimeoutError("too slow")
                self._connection.settimeout(left)
                received = self._connection.recv(_PIECE)
                self._unread = (self._unread + received)[-_MAX_HEAD:]
                self._http.receive_data(received)
        except h11.RemoteProtocolError as error:
            self._seen(self._unread)
            raise BadRequest(error.error_status_hint, str(error)) from error
        self._unread = self._http.trailing_data[0]
        return event

    def _write(self, event: h11.Event) -> None:
        self._connection.settimeout(self._patience.piece)
        self._connection.sendall(self._http.send(event) or b"")


def _head(request: h11.Request) -> bytes:
    lines = [b"%s %s HTTP/%s" % (request.method, request.target, request.http_version)]
    lines += [b"%s: %s" % (name, value) for name, value in request.headers.raw_items()]
    return b"\r\n".join(lines) + b"\r\n\r\n"
