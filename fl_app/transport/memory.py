"""Memory for a model's bytes: what is large is used again, because new pages cost more than the bytes in them.

Every round has buffers of the same size. One that nobody refers to any more is handed out again; there are never more
than were in use at once.
"""

from __future__ import annotations

import contextlib
import mmap
import sys
import threading

Buffer = bytes | bytearray | mmap.mmap

_LARGE = 4 << 20
#: References to a buffer that nobody uses: the pool's own, the loop's, and the count's argument.
_UNUSED = 3

_pool: list[mmap.mmap] = []
_lock = threading.Lock()


def buffer(size: int) -> bytearray | mmap.mmap:
    """Return memory of that size to be filled whole; what is in it before is of no meaning."""
    if size < _LARGE:
        return bytearray(size)
    with _lock:
        for position in range(len(_pool) - 1, -1, -1):
            found = _pool[position]
            if sys.getrefcount(found) <= _UNUSED:
                if len(found) == size:
                    return found
                del _pool[position]
        made = mmap.mmap(-1, size)
        with contextlib.suppress(OSError, AttributeError):  # fewer page faults, where the system has huge pages
            made.madvise(mmap.MADV_HUGEPAGE)
        _pool.append(made)
        return made
