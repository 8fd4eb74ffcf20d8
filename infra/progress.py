"""A table that fills itself in while work goes on: live in a terminal, one line per change anywhere else.

Used by whatever has many rows that change at their own pace: account × stack while deploying, node × state while
training. Progress goes to standard error, so that standard output stays the result's.
"""

from __future__ import annotations

import json as json_
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text


class Status(StrEnum):
    """What a cell says besides its text; each has a sign of its own, so that colour is never the only difference."""

    PLAIN = "plain"
    WAITING = "waiting"
    BUSY = "busy"
    DONE = "done"
    FAILED = "failed"


_SIGNS = {Status.PLAIN: "", Status.WAITING: "· ", Status.BUSY: "", Status.DONE: "✓ ", Status.FAILED: "✗ "}
_STYLES = {
    Status.PLAIN: "",
    Status.WAITING: "dim",
    Status.BUSY: "cyan",
    Status.DONE: "green",
    Status.FAILED: "bold red",
}
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAMES_PER_SECOND = 5


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place of the table."""

    text: str
    status: Status = Status.PLAIN


@dataclass(slots=True)
class _Shown:
    """A cell and when it took its present status, in seconds of the table's clock."""

    cell: Cell
    since: float = field(default=0.0)


def styled(cell: Cell, seconds: float | None = None, *, frame: int = 0) -> Text:
    """Return the cell as the terminal shows it.

    Args:
        cell: what to show.
        seconds: how long the cell has been busy; shown for busy cells only.
        frame: which picture of the spinner to show.
    """
    sign = _SPINNER[frame % len(_SPINNER)] + " " if cell.status is Status.BUSY else _SIGNS[cell.status]
    text = Text(sign + cell.text, style=_STYLES[cell.status])
    if cell.status is Status.BUSY and seconds is not None and seconds >= 1:
        text.append(f" {seconds:.0f} s", style="dim")
    return text


def live_console(stream: TextIO | None = None) -> Console:
    """Return the console for progress: standard error, without wrapping where it is not a terminal."""
    console = Console(file=stream or sys.stderr, highlight=False)
    return console if console.is_terminal else Console(file=stream or sys.stderr, highlight=False, width=10_000)


def is_live(console: Console) -> bool:
    """Say whether the console can redraw; a pipe, a file and a dumb terminal cannot."""
    return console.is_terminal and not console.is_dumb_terminal


class LiveTable:
    """A table of rows by key and named columns, shown while the ``with`` block runs.

    In a terminal it redraws in place and stays on the screen at the end; elsewhere each cell that changes is one line.
    Any thread may call :meth:`update`.

    Args:
        title: what is being done: ``Deploying eicu``.
        columns: names of the columns after the row's key, in their order; also the names of the cells.
        rows: keys that stand in the table from the start, in their order; others are added as they come.
        key_column: heading of the row's key.
        json: write each change to standard output as one JSON object per line instead.
        console: where to write; standard error if left out.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        title: str,
        columns: Sequence[str],
        *,
        rows: Sequence[str] = (),
        key_column: str = "",
        json: bool = False,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = title
        self._columns = tuple(columns)
        self._key_column = key_column
        self._json = json
        self._console = console or live_console()
        self._clock = clock
        self._rows: dict[str, dict[str, _Shown]] = {row: {} for row in rows}
        self._lock = threading.RLock()
        self._started = clock()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Start showing the table."""
        self._started = self._clock()
        if not self._json and is_live(self._console):
            self._live = Live(
                get_renderable=self.__rich__, console=self._console, refresh_per_second=_FRAMES_PER_SECOND
            )
            self._live.start()
        elif not self._json:
            self._console.print(Text(self._title), soft_wrap=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Draw the table a last time and leave it on the screen, whatever ended the block."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(self, row_key: str, /, **cells: Cell | str) -> None:
        """Set cells of one row; a string is a plain cell, and cells that are not named keep what they show.

        Raises:
            KeyError: a cell's name is not one of the columns.
        """
        unknown = [name for name in cells if name not in self._columns]
        if unknown:
            raise KeyError(f"no column {unknown[0]!r}; the columns are {', '.join(self._columns)}")
        with self._lock:
            row = self._rows.setdefault(row_key, {})
            for name, value in cells.items():
                cell = value if isinstance(value, Cell) else Cell(value)
                shown = row.get(name)
                if shown is not None and shown.cell == cell:
                    continue
                same_status = shown is not None and shown.cell.status is cell.status
                row[name] = _Shown(cell, shown.since if shown is not None and same_status else self._clock())
                self._announce(row_key, name, cell)

    def say(self, message: str) -> None:
        """Print a line that stays: above the live table, or between the lines."""
        with self._lock:
            if self._json:
                print(json_.dumps({"seconds": self._seconds(), "message": message}), flush=True)
            else:
                self._console.print(Text(message), soft_wrap=True)

    def _seconds(self) -> float:
        return round(self._clock() - self._started, 1)

    def _announce(self, row_key: str, name: str, cell: Cell) -> None:
        if self._json:
            record = {
                "seconds": self._seconds(),
                "row": row_key,
                "column": name,
                "text": cell.text,
                "status": cell.status.value,
            }
            print(json_.dumps(record, ensure_ascii=False), flush=True)
        elif self._live is None:
            line = f"{self._seconds():7.1f} s  {row_key}  {name}: {_SIGNS[cell.status]}{cell.text}"
            self._console.print(Text(line), soft_wrap=True)

    def __rich__(self) -> Table:
        """Return the table as it stands now."""
        with self._lock:
            now = self._clock()
            frame = int((now - self._started) * _FRAMES_PER_SECOND)
            heading = Text(f"{self._title}  ", style="bold").append(f"{now - self._started:.0f} s", style="dim")
            table = Table(title=heading, title_justify="left", header_style="bold")
            table.add_column(self._key_column)
            for column in self._columns:
                table.add_column(column)
            for key, row in self._rows.items():
                cells = [
                    styled(shown.cell, now - shown.since, frame=frame) if (shown := row.get(column)) else Text("")
                    for column in self._columns
                ]
                table.add_row(Text(key), *cells)
            return table
