"""The search for sentinels: every form of them, wherever chunks are cut, and nothing where there is none."""

from __future__ import annotations

import base64
import gzip
import json
import random
import struct
import zlib
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.local.twin.capture.encodings import Identifier, Reading, Sentinel, Text, WeakSentinel, patterns
from infra.local.twin.capture.search import Search

TEXT = Text("diagnosis", "Canary-Ä-7Q3X9Z")
NUMBER = Reading("heart rate", 117.48219, times=4)
STAY = Identifier("stay", 1_234_567_891)
ALL: tuple[Sentinel, ...] = (TEXT, NUMBER, STAY)

LEAKS = {
    "text in UTF-8": TEXT.text.encode(),
    "text in UTF-16": TEXT.text.encode("utf-16-le"),
    "text in upper case": TEXT.text.upper().encode(),
    "text in JSON": json.dumps({"log": f"row {TEXT.text}"}).encode(),
    "text in a log line within JSON": json.dumps({"message": json.dumps({"row": TEXT.text})}).encode(),
    "text in hexadecimal": TEXT.text.encode().hex().encode(),
    "text in base64 from its first byte": base64.b64encode(b"" + TEXT.text.encode()),
    "text in base64 from its second byte": base64.b64encode(b"x" + TEXT.text.encode() + b"yz"),
    "text in base64 from its third byte": base64.b64encode(b"xx" + TEXT.text.encode() + b"y"),
    "text in base64 for addresses": base64.urlsafe_b64encode(b"xxx" + TEXT.text.encode()),
    "number as it stands": b"117.48219",
    "number with six digits": b"the mean is 117.482 per minute",
    "number as float32 prints it": repr(struct.unpack("<f", struct.pack("<f", 117.48219))[0]).encode(),
    "number with an exponent": b"1.17482e+02",
    "number as float32": struct.pack("<f", 117.48219),
    "number as float64": struct.pack(">d", 117.48219),
    "numbers as float16": struct.pack("<4e", *[117.48219] * 4),
    "numbers as bfloat16": struct.pack(">f", 117.48219)[:2] * 4,
    "stay as text": b"stay=1234567891,",
    "stay as int64": struct.pack("<q", STAY.number),
    "stay as int32": struct.pack(">i", STAY.number),
    "stay as float64": struct.pack("<d", float(STAY.number)),
    "gzip": gzip.compress(b"a,b,c\n1,2," + TEXT.text.encode()),
    "zlib": zlib.compress(b"row: 1234567891"),
    "zstd": zstandard.ZstdCompressor().compress(struct.pack("<f", 117.48219) * 3),
    "gzip in zstd": zstandard.ZstdCompressor().compress(gzip.compress(b"117.48219")),
}


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[begin:end] for begin, end in pairwise(borders)]


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
@given(before=st.binary(max_size=300), after=st.binary(max_size=60), places=st.lists(st.integers(0, 2000), max_size=30))
@settings(max_examples=40, deadline=None)
def test_what_is_planted_is_found_wherever_chunks_are_cut(
    leak: bytes, before: bytes, after: bytes, places: list[int]
) -> None:
    search = Search(ALL)
    for chunk in cut(before + leak + after, places):
        search.feed("flow", chunk)
    assert search.findings


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_byte_by_byte_the_same_is_found_as_at_once(leak: bytes) -> None:
    whole, parts = Search(ALL), Search(ALL)
    whole.feed("flow", leak)
    for place in range(len(leak)):
        parts.feed("flow", leak[place : place + 1])
    assert set(parts.findings) == set(whole.findings)
    assert len(parts.findings) == len(whole.findings)


def test_a_finding_names_sentinel_encoding_flow_and_place() -> None:
    search = Search(ALL)
    search.feed("upload", b"12345" + TEXT.text.encode())
    (found,) = search.findings
    assert (found.sentinel, found.flow, found.offset) == ("diagnosis: UTF-8", "upload", 5)
    search.feed("packed", b"12345" + gzip.compress(b"67" + struct.pack("<d", 117.48219)))
    assert (search.findings[-1].flow, search.findings[-1].offset) == ("packed > unpacked at 5", 2)
    assert search.findings[-1].sentinel == "heart rate: float64, little endian"


def test_flows_do_not_mix() -> None:
    search = Search(ALL)
    half = len(TEXT.text) // 2
    search.feed("leaves", TEXT.text[:half].encode())
    search.feed("enters", TEXT.text[half:].encode())
    assert search.findings == ()
    search.feed("leaves", TEXT.text[half:].encode())
    assert len(search.findings) == 1
    assert search.searched == {"leaves": len(TEXT.text.encode()), "enters": len(TEXT.text[half:].encode())}


def test_in_megabytes_of_chance_nothing_is_found_and_the_odds_say_so() -> None:
    search = Search(ALL)
    size = 4 << 20
    noise = random.Random(7).randbytes(size)
    for start in range(0, size, 1 << 16):
        search.feed("noise", noise[start : start + (1 << 16)])
    assert search.findings == ()
    assert search.odds(size) < 0.01
    strict = Search(ALL, shortest=8)
    assert strict.odds(1 << 40) < 1e-5


def test_what_was_packed_beyond_the_bounds_is_counted_as_not_searched() -> None:
    search = Search(ALL, most_unpacked=1000)
    search.feed("bomb", gzip.compress(bytes(100_000) + TEXT.text.encode()))
    assert search.findings == ()
    assert search.unsearched == 1


@pytest.mark.parametrize(
    "weak",
    [
        Text("a", "short"),
        Reading("a", 117.0),
        Reading("a", 117.5),
        Identifier("a", 1234),
        Identifier("a", 1 << 30),
        Identifier("a", 1 << 31),
    ],
    ids=str,
)
def test_a_sentinel_that_chance_would_give_is_refused(weak: Sentinel) -> None:
    with pytest.raises(WeakSentinel):
        patterns((weak,))


def test_only_tests_import_the_capture() -> None:
    root = Path(__file__).parents[4]
    users = {
        path.relative_to(root).as_posix()
        for package in ("infra", "stacks", "node_bootstrap", "fl_app")
        for path in (root / package).rglob("*.py")
        if "twin.capture" in path.read_text("utf-8")
    }
    assert {user for user in users if not user.startswith("infra/local/twin/capture/")} == set()
    assert users  # the capture's own modules: the search would find others
