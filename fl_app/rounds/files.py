"""Files that are whole or not there: written beside, made durable, then renamed; and a log of JSON lines."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fl_app.errors import StateError
from fl_app.transport.memory import Buffer


def write_atomically(path: Path, data: bytes | Sequence[Buffer], *, durable: bool = True) -> None:
    """Replace a file in one step.

    Args:
        path: the file; its folder must exist.
        data: the new content, in one piece or several.
        durable: wait until it would survive a power cut; without it, only a crash of this process.

    Raises:
        StateError: it cannot be written; what was there before is untouched.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            for piece in (data,) if isinstance(data, bytes) else data:
                file.write(piece)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror}.", remedy="Free space or mend the volume, and start again."
        ) from None


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Replace a JSON file in one step; see :func:`write_atomically`."""
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode(), durable=durable)


def make_folder(path: Path) -> Path:
    """Make a folder if it is not there, and return it.

    Raises:
        StateError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(f"The folder {path} cannot be made: {error.strerror}.") from None
    return path


class RoundLines:
    """``rounds.jsonl``: one record a round, in order; a round that is run again takes the place of what was there."""

    def __init__(self, path: Path) -> None:
        """Open the file, less a line that a crash has torn."""
        self._path = path
        lines = _whole_lines(path)
        if path.exists():
            write_atomically(path, b"".join(lines))
        self._last = max((_round_of(line) for line in lines), default=-1)

    def append(self, record: dict[str, Any]) -> None:
        """Add a record, and drop those of its round and later ones; :meth:`sync` makes it durable.

        Raises:
            StateError: it cannot be written.
        """
        line = (json.dumps(record, allow_nan=False) + "\n").encode()
        if record["round"] <= self._last:
            kept = [old for old in _whole_lines(self._path) if _round_of(old) < record["round"]]
            write_atomically(self._path, b"".join([*kept, line]))
        else:
            self._append(line)
        self._last = record["round"]

    def _append(self, line: bytes) -> None:
        try:
            with self._path.open("ab") as file:
                file.write(line)
        except OSError as error:
            raise StateError(f"{self._path} cannot be written: {error.strerror}.", remedy="Free space there.") from None

    def sync(self) -> None:
        """Wait until all records would survive a power cut.

        Raises:
            StateError: they cannot be written.
        """
        try:
            with self._path.open("ab") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise StateError(f"{self._path} cannot be written: {error.strerror}.", remedy="Free space there.") from None


def _whole_lines(path: Path) -> list[bytes]:
    try:
        lines = path.read_bytes().splitlines(keepends=True)
        return [line for line in lines if line.endswith(b"\n") and _round_of(line) >= 0]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}.") from None


def _round_of(line: bytes) -> int:
    try:
        return int(json.loads(line)["round"])
    except (ValueError, KeyError, TypeError):
        return -1


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
