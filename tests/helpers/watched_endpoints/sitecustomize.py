"""On PYTHONPATH while a test starts the twin: its endpoints then write down all that nodes say to them, in plain text.

One file for each connection, ``<account>-<number>`` in the folder that ``CANARY_WATCH`` names. No other process is
changed.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO


class Writer:
    """Takes what an endpoint is asked on each of its connections, each of which has a thread of its own."""

    def __init__(self, folder: Path, overlap: int) -> None:
        self._folder, self._overlap = folder, overlap
        self._numbers = itertools.count(1)
        self._own = threading.local()

    def __call__(self, account: str, piece: bytes) -> None:
        """Write a piece, less the end of the one before it with which it begins."""
        before: bytes = getattr(self._own, "before", b"")
        if not before or not piece.startswith(before):
            before = b""
            self._own.file = (self._folder / f"{account}-{next(self._numbers)}").open("wb", buffering=0)
        file: BinaryIO = self._own.file
        file.write(piece[len(before) :])
        self._own.before = piece[-self._overlap :]


def watch(folder: Path) -> None:
    """Let every endpoint of a twin that is made from now on be watched."""
    from infra.local.twin.grounds.services import Services
    from infra.local.twin.services.endpoints.service import OVERLAP

    made, writer = Services.__init__, Writer(folder, OVERLAP)

    def watched(self: Any, *arguments: Any, **options: Any) -> None:
        made(self, *arguments, **options)
        self._watch = writer

    Services.__init__ = watched  # type: ignore[method-assign]


if "CANARY_WATCH" in os.environ and "infra.local.twin" in sys.orig_argv:
    watch(Path(os.environ["CANARY_WATCH"]))
