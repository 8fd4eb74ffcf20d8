"""Memory that is used again: what nobody refers to any more, and never more than was in use at once."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from fl_app.transport import memory
from fl_app.transport.memory import buffer

SMALL, LARGE = 4 << 20, 8 << 20


@pytest.fixture(autouse=True)
def _nothing_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_pool", [])
    monkeypatch.setattr(memory, "_most", 0)


def held() -> int:
    return sum(map(len, memory._pool))


def test_what_is_in_use_is_not_handed_out_again_and_what_is_not_is() -> None:
    first = buffer(SMALL)
    first[:4] = b"mine"
    assert buffer(SMALL) is not first
    view = memoryview(first)
    del first
    assert bytes(buffer(SMALL)[:4]) != b"mine"  # a view on it is a use
    del view
    found = {bytes(one[:4]) for one in [buffer(SMALL), buffer(SMALL)]}
    assert b"mine" in found


def test_sizes_that_take_turns_keep_their_memory() -> None:
    model, total = buffer(SMALL), buffer(LARGE)
    model[:1], total[:1] = b"m", b"t"
    del model, total
    for _ in range(3):
        assert buffer(SMALL)[:1] == b"m"
        assert buffer(LARGE)[:1] == b"t"
    assert held() == SMALL + LARGE


def test_no_more_is_held_than_was_in_use_at_once() -> None:
    for size in (SMALL, LARGE, SMALL + 1, LARGE + 1):
        buffer(size)
    assert held() == LARGE + 1
    kept = [buffer(SMALL) for _ in range(3)]
    assert held() == 3 * SMALL
    del kept
    buffer(LARGE)
    assert held() <= 3 * SMALL


def test_what_is_small_is_not_kept() -> None:
    assert isinstance(buffer(SMALL - 1), bytearray)
    assert held() == 0


ARENAS = """
import ctypes, sys, threading
from pathlib import Path
from fl_app.transport.memory import share_freed_memory
if sys.argv[1] == "shared":
    share_freed_memory()
threads, all_are_there = 12, threading.Barrier(12)
def work():
    all_are_there.wait()
    held = [bytearray(50_000) for _ in range(20)]
    all_are_there.wait()
    del held
started = [threading.Thread(target=work) for _ in range(threads)]
[one.start() for one in started]
[one.join() for one in started]
c = ctypes.CDLL(None)
c.fopen.restype, c.fopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p] * 2
c.malloc_info.argtypes, c.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
file = c.fopen(sys.argv[2].encode(), b"w")
c.malloc_info(0, file)
c.fclose(file)
print(Path(sys.argv[2]).read_text().count("<heap nr="))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="the C library is not GNU's")
def test_threads_share_two_places_of_freed_memory_where_they_would_have_more(tmp_path: Path) -> None:
    counted = {
        how: int(subprocess.check_output([sys.executable, "-c", ARENAS, how, str(tmp_path / how)]))
        for how in ("shared", "apart")
    }
    assert counted["shared"] <= 2 < counted["apart"]
