"""What the application says, on the node's disk: two files at most, and how much of them is in the account.

The newer file is begun anew when it has reached its size, and the one before is kept as the older. One of which not
every byte has been sent is never given up: while the account does not answer, the newer file grows beyond its size.
"""

from __future__ import annotations

import threading
from pathlib import Path

_BYTES_OF_A_FILE = 16 << 20


class ApplicationLog:
    """Bytes that one thread adds and another takes, in order and each once, over rotations and restarts of the agent.

    Args:
        path: the newer file; ``.1`` behind its name is the older one. Beside them stands how much was sent: the number
            of a file on its disk, which it keeps when it becomes the older one, and bytes from its beginning.
        bound: bytes that a file may have.
    """

    def __init__(self, path: Path, bound: int = _BYTES_OF_A_FILE) -> None:
        self._newer, self._older = path, path.with_name(f"{path.name}.1")
        self._mark = path.with_name(f".{path.name}.sent")
        self._bound = bound
        self._lock = threading.Lock()
        #: The file of which not everything was sent, and how much of it was.
        self._at = self._read_mark()

    def add(self, said: bytes) -> None:
        """Append what was said; a line that is longer than a file may be goes on in the next one.

        Raises:
            OSError: it cannot be written.
        """
        with self._lock:
            for start in range(0, len(said), self._bound):
                piece = said[start : start + self._bound]
                size = _size(self._newer)
                if size and size + len(piece) > self._bound:
                    self._rotate()
                with self._newer.open("ab") as file:
                    file.write(piece)

    def unsent(self, most: int) -> bytes:
        """Return whole lines that were not sent yet; one that has no end yet waits, unless ``most`` are read of it."""
        with self._lock:
            file, offset = self._position()
            read = _read(file, offset, most)
            if file == self._older:
                read += _read(self._newer, 0, most - len(read))
        end = read.rfind(b"\n") + 1
        return read[:end] if end or len(read) < most else read

    def sent(self, count: int) -> None:
        """Remember that so many bytes of what :meth:`unsent` returned are in the account.

        Raises:
            OSError: it cannot be written; an agent that is started again would send them again.
        """
        with self._lock:
            file, offset = self._at[0], self._at[1] + count
            if file == self._older and offset >= _size(file):
                file, offset = self._newer, offset - _size(file)
            self._at = file, offset
            self._write_mark()

    def _rotate(self) -> None:
        """Make the newer file the older one, unless that would give up what was not sent."""
        file, offset = self._position()
        if file == self._older:
            if offset < _size(file):
                return
            self._at = self._newer, 0
        # Before a file is given up: the next one often gets its number.
        self._write_mark()
        self._newer.replace(self._older)
        self._at = self._older, self._at[1]

    def _position(self) -> tuple[Path, int]:
        """Return the file of which not everything was sent, and how much was; one that was begun anew is sent again."""
        if self._at[1] > _size(self._at[0]):
            self._at = self._newer, 0
        return self._at

    def _read_mark(self) -> tuple[Path, int]:
        """Return how far an agent before this one has come."""
        try:
            *file, offset = map(int, self._mark.read_text("ascii").split())
        except (OSError, ValueError):
            return self._newer, 0
        return self._older if file == [_number(self._older)] else self._newer, offset

    def _write_mark(self) -> None:
        file, offset = self._at
        part = self._mark.with_name(f"{self._mark.name}.part")
        part.write_text(f"{_number(file)} {offset}", "ascii")
        part.replace(self._mark)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _number(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _read(path: Path, offset: int, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(most)
    except FileNotFoundError:
        return b""
