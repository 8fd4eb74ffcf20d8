"""A gRPC stream's plain text without its frames: HTTP/2 cuts a message every 16 KiB, and with it a sentinel.

Three layers are taken off: HTTP/2's frames (RFC 9113), gRPC's five bytes before each message, and the type byte before
each further piece of a body in this project's own wire format.
"""

from __future__ import annotations

from collections.abc import Iterator

from hpack import Decoder, HPACKError

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_HEAD = 9
_DATA, _HEADERS, _CONTINUATION = 0, 1, 9
_END_HEADERS, _PADDED, _PRIORITY = 0x4, 0x8, 0x20
_GRPC_HEAD = 5
_BODY = 3


class Messages:
    """One direction of one connection; :meth:`feed` takes its bytes as they come."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._is_begun = False
        self._headers = Decoder()
        self._block = bytearray()
        self._streams: dict[int, _Grpc] = {}
        self.data_bytes = 0

    def feed(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """Yield (part, bytes): ``headers``, or ``stream N`` for what its messages hold, in order and without gaps."""
        self._pending += data
        if not self._is_begun:
            if len(self._pending) < len(_PREFACE) and _PREFACE.startswith(self._pending):
                return  # may become the preface
            if self._pending.startswith(_PREFACE):
                del self._pending[: len(_PREFACE)]
            self._is_begun = True
        while len(self._pending) >= _FRAME_HEAD:
            size = int.from_bytes(self._pending[:3], "big")
            if len(self._pending) < _FRAME_HEAD + size:
                return
            kind, flags = self._pending[3], self._pending[4]
            stream = int.from_bytes(self._pending[5:9], "big") & 0x7FFFFFFF
            payload = bytes(self._pending[_FRAME_HEAD : _FRAME_HEAD + size])
            del self._pending[: _FRAME_HEAD + size]
            yield from self._frame(kind, flags, stream, payload)

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> Iterator[tuple[str, bytes]]:
        if kind in (_DATA, _HEADERS) and flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        if kind == _DATA:
            self.data_bytes += len(payload)
            for content in self._streams.setdefault(stream, _Grpc()).feed(payload):
                yield f"stream {stream}", content
        elif kind in (_HEADERS, _CONTINUATION):
            self._block += payload[5:] if kind == _HEADERS and flags & _PRIORITY else payload
            if flags & _END_HEADERS:
                yield "headers", self._lines(bytes(self._block))
                self._block.clear()

    def _lines(self, block: bytes) -> bytes:
        try:
            return b"".join(b"%b: %b\n" % (name, value) for name, value in self._headers.decode(block, raw=True))
        except HPACKError:
            return block


class _Grpc:
    """The messages of one stream."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0
        self._is_first = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if not self._left:
                missing = _GRPC_HEAD - len(self._head)
                self._head += data[:missing]
                data = data[missing:]
                if len(self._head) < _GRPC_HEAD:
                    return
                self._left, self._is_first = int.from_bytes(self._head[1:], "big"), True
                self._head.clear()
                continue
            content, data = data[: self._left], data[self._left :]
            self._left -= len(content)
            yield content[1:] if self._is_first and content[0] == _BODY else content
            self._is_first = False
