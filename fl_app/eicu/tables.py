"""The raw tables of an eICU release: found by name in a folder, read by column, typed at the door.

A release is a folder of ``<table>.csv``, ``.csv.gz`` or ``.parquet``, or a DuckDB database file; names in any letter
case, columns in any order and letter case. Reading is lazy; nothing is decompressed before :meth:`Table.collect` or
:meth:`Table.batches`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import polars as pl

from fl_app.eicu import duckdb_file
from fl_app.eicu.errors import EmptyTable, MissingColumn, MissingTable, UnreadableTable

SUFFIXES = (".csv", ".csv.gz", ".parquet")
BATCH_ROWS = 1_000_000
_TAIL_BYTES = 1 << 16


class Kind(Enum):
    """What a column holds once it is read.

    ``TEXT``: text, blank is null. ``ID``: Int64, anything else but blank is an error. ``MINUTE``: Int32, likewise.
    ``NUMBER``: Float64; text that is not a finite number is null.
    """

    TEXT = "text"
    ID = "a whole number of at most 64 bits"
    MINUTE = "a whole number of minutes of at most 32 bits"
    NUMBER = "number"


_WHOLE = {Kind.ID: pl.Int64, Kind.MINUTE: pl.Int32}
_PLAIN = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Table:
    """One table's file. ``origin`` is what errors call it: the file, or the database that it was exported from."""

    name: str
    path: Path
    origin: str = ""

    @property
    def where(self) -> str:
        """Return where the table is, as the user knows it."""
        return self.origin or str(self.path)

    def scan(self, columns: Mapping[str, Kind], where: pl.Expr | None = None) -> pl.LazyFrame:
        """Return these columns, lower-case and typed, without reading any row yet.

        Args:
            columns: by lower-case name.
            where: rows to keep, by their TEXT columns as they stand; typing the others is spared.

        Raises:
            MissingColumn: a column is not there, or twice.
            UnreadableTable, EmptyTable: the header cannot be read.
        """
        frame, found = self.raw()
        schema = frame.collect_schema()
        missing = [column for column in columns if column not in found]
        if missing:
            raise MissingColumn(
                f"{self.where}: no column {', '.join(missing)}; found {', '.join(schema.names())}.",
                remedy=f"Export the table {self.name} with all columns of the release.",
            )
        frame = self._with_whole_numbers(frame, {found[column]: kind for column, kind in columns.items()})
        schema = frame.collect_schema()
        picked = frame.select(pl.col(found[column]).alias(column) for column in columns)
        if where is not None:
            picked = picked.filter(where)
        return picked.select(_typed(column, schema[found[column]], kind) for column, kind in columns.items())

    def _with_whole_numbers(self, frame: pl.LazyFrame, kinds: Mapping[str, Kind]) -> pl.LazyFrame:
        """Let a CSV file's reader itself parse the whole numbers, which is fast; if they are written plainly.

        A file whose first rows have ``7.0`` or quotes for 7, as some tools write, is read as text and converted.
        """
        types = {column: _WHOLE[kind] for column, kind in kinds.items() if kind in _WHOLE}
        if self.path.name.lower().endswith(".parquet") or not types:
            return frame
        first = self.collect(frame.select(list(types)).head(100))
        plain = all(value is None or _PLAIN.fullmatch(value) for row in first.iter_rows() for value in row)
        return pl.scan_csv(self.path, infer_schema=False, schema_overrides=types) if plain else frame

    def collect(self, frame: pl.LazyFrame) -> pl.DataFrame:
        """Run a query over this table's scan.

        Raises:
            UnreadableTable: the file breaks off, is not UTF-8, or a column holds what its kind forbids.
        """
        with self._named():
            return frame.collect(engine="streaming")

    def batches(self, frame: pl.LazyFrame, *, in_order: bool = False) -> Iterator[pl.DataFrame]:
        """Run a query over this table's scan and hand out its rows in pieces; raises what :meth:`collect` raises."""
        with self._named():
            yield from frame.collect_batches(chunk_size=BATCH_ROWS, maintain_order=in_order)

    def require_rows(self) -> None:
        """Check that there is a row at all, and that a CSV file does not break off in its last line.

        Raises:
            EmptyTable: there is none.
            UnreadableTable: the file breaks off. (A gzip file that does so is noticed when it is read.)
        """
        if self.path.name.lower().endswith(".csv"):
            self._require_whole_line()
        if self.collect(self.raw()[0].head(1)).is_empty():
            raise EmptyTable(
                f"{self.where}: the table has a header but no rows.", remedy="Export or download the table again."
            )

    def _require_whole_line(self) -> None:
        """Refuse a file without a line's end at its own end whose last line has fewer fields than its header."""
        with self._named(), self.path.open("rb") as file:
            header = file.readline()
            file.seek(max(0, self.path.stat().st_size - _TAIL_BYTES))
            tail = file.read()
        last = tail.rpartition(b"\n")[2]
        if last and last != header and last.count(b",") < header.count(b","):
            raise UnreadableTable(
                f"{self.where}: breaks off in its last line, which has {last.count(b',') + 1} of "
                f"{header.count(b',') + 1} fields.",
                remedy="Compare the file's SHA-256 sum, then get it again.",
            )

    def raw(self) -> tuple[pl.LazyFrame, dict[str, str]]:
        """Return all columns as they are, and each one's name by its lower-case name; raises what :meth:`scan` does."""
        with self._named():
            frame = self._open()
            names = frame.collect_schema().names()
        return frame, self._by_lower_case(names)

    def _open(self) -> pl.LazyFrame:
        if self.path.name.lower().endswith(".parquet"):
            return pl.scan_parquet(self.path)
        return pl.scan_csv(self.path, infer_schema=False)

    def _by_lower_case(self, names: list[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in names:
            lower = re.sub(r"_duplicated_\d+$", "", name).lower()
            if lower in found:
                raise MissingColumn(
                    f"{self.where}: the column {lower} stands twice in the header.",
                    remedy="Remove one of them, so that it is clear which one counts.",
                )
            found[lower] = name
        return found

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Give Polars' errors the file's name and a next step."""
        try:
            yield
        except pl.exceptions.NoDataError as error:
            raise EmptyTable(
                f"{self.where}: the file is empty.", remedy="Export or download the table again."
            ) from error
        except (pl.exceptions.PolarsError, OSError) as error:
            if not isinstance(error, pl.exceptions.InvalidOperationError) and "as dtype `i" not in str(error):
                raise UnreadableTable(
                    f"{self.where}: cannot be read: {_first_line(error)}.",
                    remedy="Is the file complete, and UTF-8? Compare its SHA-256 sum, then get it again.",
                ) from error
            raise UnreadableTable(
                f"{self.where}: {_first_line(error)}.",
                remedy="Ids, ages and offsets must be whole numbers (ids 64 bits, offsets in minutes 32 bits).",
            ) from error


@dataclass(frozen=True, slots=True)
class Tables:
    """A release of eICU: the tables of one folder or DuckDB file."""

    folder: Path

    def table(self, name: str) -> Table:
        """Find a table's file.

        Raises:
            MissingTable: the folder or the file is not there, or the table is there in two files.
        """
        if self.folder.is_file():
            return self._of_database(name)
        if not self.folder.is_dir():
            raise MissingTable(
                f"{self.folder}: no such folder.", remedy="Give the folder that holds patient.csv.gz and its siblings."
            )
        files = self._files(name)
        if not files:
            raise MissingTable(
                f"{self.folder}: no table {name}.",
                remedy=f"Put {name}.csv, {name}.csv.gz or {name}.parquet there, as PhysioNet distributes it.",
            )
        if len(files) > 1:
            raise MissingTable(
                f"{self.folder}: the table {name} is there {len(files)} times: {', '.join(f.name for f in files)}.",
                remedy="Keep one of them, so that it is clear which one counts.",
            )
        return Table(name, files[0])

    def files(self, names: Iterable[str]) -> list[Path]:
        """Return the files that these tables are in; raises what :meth:`table` raises."""
        if self.folder.is_file():
            return [self.folder, *duckdb_file.not_yet_merged(self.folder)]
        return [self.table(name).path for name in names]

    def has(self, name: str) -> bool:
        """Say whether a table is there."""
        if self.folder.is_file():
            return name.lower() in duckdb_file.names(self.folder)
        return bool(self._files(name))

    def _of_database(self, name: str) -> Table:
        found = duckdb_file.names(self.folder)
        if name.lower() not in found:
            raise MissingTable(
                f"{self.folder}: no table {name}; found {', '.join(sorted(found)) or 'none'}.",
                remedy="Load the release's tables under their own names.",
            )
        return Table(name, duckdb_file.export(self.folder, name), f"{self.folder}, table {name}")

    def _files(self, name: str) -> list[Path]:
        wanted = {f"{name}{suffix}".lower() for suffix in SUFFIXES}
        return sorted(path for path in self.folder.iterdir() if path.name.lower() in wanted)


def _typed(name: str, dtype: pl.DataType, kind: Kind) -> pl.Expr:
    column = pl.col(name)
    text = column if dtype == pl.String else column.cast(pl.String)
    if kind is Kind.TEXT:
        return pl.when(text != "").then(text).alias(name)
    if kind is Kind.NUMBER:
        number = (text.str.strip_chars() if dtype == pl.String else column).cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number).alias(name)
    if dtype.is_integer():
        return column.cast(_WHOLE[kind])
    digits = text.str.strip_chars().str.strip_suffix(".0")
    return pl.when(digits != "").then(digits).cast(_WHOLE[kind]).alias(name)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
