"""Memory for a model's bytes: what is large is used again, because new pages cost more than the bytes in them.

Every round has buffers of the same few sizes. One that nobody refers to any more is handed out again; together
they are never more than was in use at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import sys
import threading

Buffer = bytes | bytearray | mmap.mmap

_LARGE = 4 << 20
#: References to a buffer that nobody uses: the pool's own, and the count's argument.
_UNUSED = 2

#: Of the GNU C library's ``malloc.h``.
_M_ARENA_MAX, _ARENAS = -8, 2

_pool: list[mmap.mmap] = []
_most = 0
_lock = threading.Lock()


def buffer(size: int) -> bytearray | mmap.mmap:
    """Return memory of that size to be filled whole; what is in it before is of no meaning."""
    global _most
    if size < _LARGE:
        return bytearray(size)
    with _lock:
        unused = [position for position in range(len(_pool)) if sys.getrefcount(_pool[position]) <= _UNUSED]
        for position in unused:
            if len(_pool[position]) == size:
                return _pool[position]
        held = sum(map(len, _pool)) + size
        _most = max(_most, held - sum(len(_pool[position]) for position in unused))
        for position in reversed(unused):
            if held > _most:
                held -= len(_pool.pop(position))
        made = mmap.mmap(-1, size)
        with contextlib.suppress(OSError, AttributeError):  # fewer page faults, where the system has huge pages
            made.madvise(mmap.MADV_HUGEPAGE)
        _pool.append(made)
        return made


def share_freed_memory() -> None:
    """Have threads use what others have freed; to be called before they begin.

    The C library keeps freed memory for each thread, up to eight places a core. A frame of 1 MiB is received by one
    thread and freed by another, so without this half a model of freed frames piles up. Other C libraries do not.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
