"""What is packed within a stream of bytes, unpacked as it passes: gzip, zlib and zstd, wherever one begins."""

from __future__ import annotations

import zlib
from typing import Protocol

import zstandard

_GZIP, _ZSTD = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"
_ZLIB = tuple(bytes((0x78, second)) for second in (0x01, 0x5E, 0x9C, 0xDA))
MAGICS = (_GZIP, _ZSTD, *_ZLIB)
_SLICE = 256
_PIECE = 1 << 20
_LARGEST_WINDOW = 1 << 27


class NotPacked(Exception):
    """What began like something packed was none, or goes on unlike it."""


class Unpacker(Protocol):
    """Takes bytes as they come; ``ended`` once the packed stream is over."""

    ended: bool

    def feed(self, data: bytes) -> bytes:
        """Return what comes out; raises NotPacked."""


class _Zlib:
    """Gzip or zlib."""

    def __init__(self, window: int, most: int) -> None:
        self._inner, self._left, self.ended = zlib.decompressobj(window), most, False

    def feed(self, data: bytes) -> bytes:
        out = bytearray()
        try:
            while data and self._left > 0:
                piece = self._inner.decompress(data, min(_PIECE, self._left))
                out += piece
                self._left -= len(piece)
                data = self._inner.unconsumed_tail
        except zlib.error:
            if not out:
                raise NotPacked from None
            self.ended = True
        self.ended = self.ended or self._inner.eof or self._left <= 0
        return bytes(out)


class _Zstd:
    """Zstd; it is fed little by little, since a few bytes can stand for very many."""

    def __init__(self, most: int) -> None:
        self._inner = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).decompressobj()
        self._left, self.ended = most, False

    def feed(self, data: bytes) -> bytes:
        out = bytearray()
        try:
            for start in range(0, len(data), _SLICE):
                out += self._inner.decompress(data[start : start + _SLICE])
                self.ended = self._inner.eof or len(out) >= self._left
                if self.ended:
                    break
        except zstandard.ZstdError:
            if not out:
                raise NotPacked from None
            self.ended = True
        self._left -= len(out)
        return bytes(out)


def unpacker(magic: bytes, most: int) -> Unpacker:
    """Return what unpacks a stream that begins with one of :data:`MAGICS`, up to ``most`` bytes."""
    if magic == _ZSTD:
        return _Zstd(most)
    return _Zlib(31 if magic == _GZIP else 15, most)
