"""One request to loopback AWS, streamed both ways: nothing of it is ever whole in memory."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Iterator
from types import TracebackType

import h11

_PIECE = 64 * 1024
_CONNECT_SECONDS = 5.0
#: A call that starts an operation answers when that is done.
_ANSWER_SECONDS = 120.0
#: Of this hop, not of the message. ``expect`` is answered here.
_OF_THE_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"expect"}


class UpstreamBroken(Exception):
    """Loopback AWS does not answer, or stopped in the middle."""


class Upstream:
    """A connection for one request; a context manager.

    Args:
        address: host and port of loopback AWS.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._http = h11.Connection(h11.CLIENT)
        self._socket = socket.socket()

    def __enter__(self) -> Upstream:
        """Connect nothing yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._socket.close()

    def ask(
        self, request: h11.Request, target: bytes, authorization: str | None, body: Iterable[bytes]
    ) -> h11.Response:
        """Send a request and return the head of the answer.

        Args:
            request: as it arrived.
            target: what to ask for instead.
            authorization: to be added.
            body: the pieces of the body; not read to the end if the answer comes before.

        Raises:
            UpstreamBroken: there is no answer.
        """
        sent = h11.Request(method=request.method, target=target, headers=self._headers(request, authorization))
        try:
            self._socket.settimeout(_CONNECT_SECONDS)
            self._socket.connect(self._address)
            self._socket.settimeout(_ANSWER_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(self._http.send(sent) or b"")
        except OSError as error:
            raise UpstreamBroken(str(error)) from error
        for piece in body:
            if not self._send(h11.Data(data=piece)):
                break
        else:
            self._send(h11.EndOfMessage())
        while not isinstance(event := self._next(), h11.Response):
            if not isinstance(event, h11.InformationalResponse):
                raise UpstreamBroken("no answer")
        return event

    def body(self) -> Iterator[bytes]:
        """Yield the answer's body.

        Raises:
            UpstreamBroken: it ended early.
        """
        while not isinstance(event := self._next(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                raise UpstreamBroken("the answer ended early")
            yield bytes(event.data)

    def _headers(self, request: h11.Request, authorization: str | None) -> list[tuple[bytes, bytes]]:
        chunked = any(name == b"transfer-encoding" for name, _ in request.headers)
        left_out = _OF_THE_HOP | {b"host"} | ({b"content-length"} if chunked else set())
        kept = [(name, value) for name, value in request.headers.raw_items() if name.lower() not in left_out]
        own = [(b"Host", "{}:{}".format(*self._address).encode()), (b"Connection", b"close")]
        return [*own, *kept, *([(b"Authorization", authorization.encode())] if authorization else [])]

    def _send(self, event: h11.Event) -> bool:
        """Send a part of the body; False if the other side has stopped listening: then it has answered."""
        with contextlib.suppress(OSError):
            self._socket.sendall(self._http.send(event) or b"")
            return True
        return False

    def _next(self) -> object:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(self._socket.recv(_PIECE))
        except (OSError, h11.RemoteProtocolError) as error:
            raise UpstreamBroken(str(error)) from error
        return event


def headers_back(response: h11.Response) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer that are for the node, and not of this hop."""
    of_the_hop = _OF_THE_HOP | {b"transfer-encoding"}
    return [(name, value) for name, value in response.headers.raw_items() if name.lower() not in of_the_hop]
