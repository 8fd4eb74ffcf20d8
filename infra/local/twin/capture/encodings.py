"""Sentinels, and every form of bytes in which one may leave a hospital."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from infra.errors import FederateError

#: Fewer letters or digits would be found by chance.
LEAST_CHARACTERS = 8
LEAST_DIGITS = 6
_LEAST_BYTES = 4
#: Numbers of digits that programs print: a few, float32's, float64's.
_PRECISIONS = (6, 7, 8, 9, 15, 16, 17)


class WeakSentinel(FederateError):
    """A sentinel that would be found where it is not, or not found where it is."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Text:
    """A text that stands in one place of one hospital's data."""

    name: str
    text: str

    def forms(self) -> Iterator[tuple[str, bytes]]:
        """Yield (encoding, bytes); raises WeakSentinel for a text that is too short."""
        if len(self.text) < LEAST_CHARACTERS:
            raise WeakSentinel(f"The sentinel {self.name} ({self.text!r}) has less than {LEAST_CHARACTERS} characters.")
        spellings = dict.fromkeys((self.text, self.text.lower(), self.text.upper()))
        for spelling in spellings:
            yield "UTF-8", spelling.encode()
            yield "UTF-16, little endian", spelling.encode("utf-16-le")
            yield "UTF-16, big endian", spelling.encode("utf-16-be")
            yield "JSON", json.dumps(spelling)[1:-1].encode()
            yield "JSON within JSON", json.dumps(json.dumps(spelling)[1:-1])[1:-1].encode()
            yield "percent encoding", quote(spelling, safe="").encode()
        for coded, plain in (("UTF-8", self.text.encode()), ("UTF-16", self.text.encode("utf-16-le"))):
            yield f"hexadecimal of {coded}", plain.hex().encode()
            yield f"hexadecimal of {coded}", plain.hex().upper().encode()
            yield from ((f"base64 of {coded}", form) for form in _base64_forms(plain))


@dataclass(frozen=True, slots=True)
class Reading:
    """A number with a fraction, and how often it stands in a row: half precision is told from chance by that alone.

    Args:
        name: what it is.
        value: with at least six significant digits.
        times: how many equal readings follow one another.
    """

    name: str
    value: float
    times: int = 1

    def forms(self) -> Iterator[tuple[str, bytes]]:
        """Yield (encoding, bytes); raises WeakSentinel for a number that is short in binary or decimal."""
        if 0 in struct.pack("<f", self.value) or float(f"{self.value:.{LEAST_DIGITS - 1}g}") == self.value:
            raise WeakSentinel(
                f"The sentinel {self.name} ({self.value!r}) is too round.",
                remedy=f"Take one with more than {LEAST_DIGITS - 1} digits whose float32 has no byte of zero.",
            )
        for printed in dict.fromkeys(_decimals(self.value)):
            yield "decimal text", printed.encode()
        for kind, code in (("float32", "f"), ("float64", "d")):
            for order, sign in (("little", "<"), ("big", ">")):
                yield f"{kind}, {order} endian", struct.pack(f"{sign}{code}", self.value)
        if self.times > 1:
            whole = struct.pack(">f", self.value)
            rounded = (int.from_bytes(whole, "big") + 0x7FFF + ((whole[1]) & 1)) >> 16  # to even, as torch rounds
            for kind, one in (
                ("float16", struct.pack(">e", self.value)),
                ("bfloat16", whole[:2]),
                ("bfloat16", rounded.to_bytes(2, "big")),
            ):
                yield f"{kind} {self.times} times, big endian", one * self.times
                yield f"{kind} {self.times} times, little endian", one[::-1] * self.times
            for kind, code in (("float32", "f"), ("float64", "d")):
                for order, sign in (("little", "<"), ("big", ">")):
                    row = struct.pack(f"{sign}{self.times}{code}", *(self.value,) * self.times)
                    yield f"{kind} {self.times} times, {order} endian", row


@dataclass(frozen=True, slots=True)
class Identifier:
    """A whole number that names a stay or a patient: at least eight digits, below 2^31."""

    name: str
    number: int

    def forms(self) -> Iterator[tuple[str, bytes]]:
        """Yield (encoding, bytes); raises WeakSentinel for a number that is too small or has bytes of zero."""
        if not 10 ** (LEAST_CHARACTERS - 1) <= self.number < 2**31 or 0 in struct.pack("<i", self.number):
            raise WeakSentinel(
                f"The sentinel {self.name} ({self.number}) is no number of {LEAST_CHARACTERS} digits whose int32 "
                "has no byte of zero."
            )
        printed = str(self.number)
        yield "decimal text", printed.encode()
        yield "decimal text in UTF-16", printed.encode("utf-16-le")
        yield "hexadecimal", f"{self.number:x}".encode()
        yield from (("base64 of decimal text", form) for form in _base64_forms(printed.encode()))
        for order, sign in (("little", "<"), ("big", ">")):
            yield f"int32, {order} endian", struct.pack(f"{sign}i", self.number)
            yield f"int64, {order} endian", struct.pack(f"{sign}q", self.number)
            yield f"float64, {order} endian", struct.pack(f"{sign}d", float(self.number))
        yield "variable length", _variable_length(self.number)


Sentinel = Text | Reading | Identifier


def patterns(sentinels: Iterator[Sentinel] | tuple[Sentinel, ...], *, shortest: int = _LEAST_BYTES) -> dict[bytes, str]:
    """Return what to search for: bytes to ``<sentinel>: <encoding>``.

    A form of which another one is the beginning says nothing more, and is left out.

    Args:
        sentinels: whose.
        shortest: forms of fewer bytes are left out: in what looks random, as ciphertext does, they come by chance.
    """
    found: dict[bytes, str] = {}
    for sentinel in sentinels:
        for encoding, form in sentinel.forms():
            if len(form) >= max(shortest, _LEAST_BYTES):
                found.setdefault(form, f"{sentinel.name}: {encoding}")
    kept: dict[bytes, str] = {}
    last = b""
    for form in sorted(found):  # what begins with another stands right behind it
        if not last or not form.startswith(last):
            kept[form] = found[form]
            last = form
    return kept


def _base64_forms(plain: bytes) -> Iterator[bytes]:
    """Yield what base64 makes of bytes wherever in a group of three they begin, less what their neighbours decide."""
    for before in range(3):
        coded = base64.b64encode(bytes(before) + plain)
        whole = (before + len(plain)) * 8 // 6
        form = coded[(before * 8 + 5) // 6 : whole]
        yield form
        yield form.translate(bytes.maketrans(b"+/", b"-_"))


def _decimals(value: float) -> Iterator[str]:
    single = struct.unpack("<f", struct.pack("<f", value))[0]
    for number in (value, single):
        for digits in _PRECISIONS:
            yield f"{number:.{digits}g}"
        yield f"{number:.{LEAST_DIGITS - 1}e}".partition("e")[0]


def _variable_length(number: int) -> bytes:
    """Return a number as protocol buffers write it."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])
