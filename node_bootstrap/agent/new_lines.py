"""What was added to a file of lines since somebody last looked, also where its writer replaces the whole file."""

from __future__ import annotations

import os
from pathlib import Path


class NewLines:
    """The whole lines that came since the look before; what was there at first is nobody's news.

    Args:
        path: the file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode, self._offset, self._first, self._count = 0, 0, b"", 0
        self.take()

    @property
    def is_there(self) -> bool:
        """Whether there is such a file."""
        return self._path.exists()

    def take(self) -> list[bytes]:
        """Return them; a line that has no end yet waits.

        A file that was written anew and begins with the same line is the same one: as many lines as were seen before
        are not new. Any other one is new from its beginning.
        """
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                # The number alone does not tell: a new file often has that of the one that was just deleted.
                is_another = self._count > 0 and file.readline() != self._first
                if is_another or found.st_ino != self._inode or found.st_size < self._offset:
                    seen = 0 if is_another else self._count
                    file.seek(0)
                    for _ in range(seen):
                        file.readline()
                    self._inode, self._offset, self._count = found.st_ino, file.tell(), seen
                file.seek(self._offset)
                read = file.read()
        except OSError:
            return []
        lines = read[: read.rfind(b"\n") + 1].splitlines(keepends=True)
        if lines and not self._count:
            self._first = lines[0]
        self._offset += sum(map(len, lines))
        self._count += len(lines)
        return lines
