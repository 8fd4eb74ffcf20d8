"""The hash of a body: the same as of its bytes, however it is filled, and while another thread works it out."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fl_app.transport.hashing import BodyHash

HEADER = b'{"v": 1}'


@pytest.mark.parametrize("size", [0, 1, (4 << 20) - 1, 4 << 20, (9 << 20) + 7])
def test_the_hash_is_that_of_the_body_followed_by_the_header(size: int) -> None:
    body = os.urandom(size)
    expected = hashlib.sha256(body + HEADER).hexdigest()
    assert BodyHash(body).with_header(HEADER) == expected
    growing, part = BodyHash(body, 0), 1 << 20
    for filled in [*range(part, size, part), size]:
        growing.filled(filled)
    assert growing.with_header(HEADER) == expected


def test_nothing_is_hashed_before_it_is_there() -> None:
    body = bytearray(16 << 20)
    hashed = BodyHash(body, 0)
    for start in range(0, len(body), 1 << 20):
        body[start : start + (1 << 20)] = os.urandom(1 << 20)
        hashed.filled(start + (1 << 20))
    assert hashed.with_header(b"") == hashlib.sha256(body).hexdigest()


def test_many_ask_for_the_hash_of_one_body_and_more_bodies_than_threads_are_hashed() -> None:
    bodies = [os.urandom(5 << 20) for _ in range(3 * (os.cpu_count() or 1))]
    hashed = [BodyHash(body) for body in bodies]
    expected = [hashlib.sha256(body + HEADER).hexdigest() for body in bodies]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(8):
            assert list(threads.map(lambda one: one.with_header(HEADER), hashed)) == expected


def test_a_hash_that_is_not_done_is_waited_for() -> None:
    body = os.urandom(8 << 20)
    hashed, found = BodyHash(body, 5 << 20), []
    asks = threading.Thread(target=lambda: found.append(hashed.with_header(b"")))
    asks.start()
    asks.join(0.2)
    assert asks.is_alive()
    hashed.filled(len(body))
    asks.join(30)
    assert found == [hashlib.sha256(body).hexdigest()]
