"""A DuckDB database file as a release: its tables are handed over as Parquet files in a folder of this process."""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fl_app.eicu.errors import EicuDataError, MissingTable, UnreadableTable


@cache
def scratch() -> Path:
    """Return a folder that goes when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="federate-duckdb-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def names(database: Path) -> dict[str, str]:
    """Return the tables' quoted names in SQL by their lower-case names, whatever schema they are in.

    Raises:
        MissingTable: a name is there in two schemas or letter cases.
        UnreadableTable: the file is no DuckDB database.
    """
    found: dict[str, str] = {}
    with _connected(database) as connection:
        rows = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL"
        ).fetchall()
    for schema, name in rows:
        if name.lower() in found:
            raise MissingTable(f"{database}: the table {name} is there twice.", remedy="Keep one of them.")
        found[name.lower()] = f"{_quoted(schema)}.{_quoted(name)}"
    return found


def not_yet_merged(database: Path) -> list[Path]:
    """Return the database's write-ahead log, if there is one: what it holds is read as well."""
    log = database.with_name(f"{database.name}.wal")
    return [log] if log.is_file() else []


def export(database: Path, name: str) -> Path:
    """Write a table as a Parquet file, streaming, and return it; a table that was written already is not again.

    Raises:
        EicuDataError: the file cannot be read, or the disk is full.
    """
    state = database.stat()
    key = hashlib.sha256(f"{database.resolve()} {state.st_mtime_ns} {state.st_size}".encode()).hexdigest()[:16]
    path = scratch() / f"{key}-{name.lower()}.parquet"
    if not path.exists():
        table = names(database)[name.lower()]
        partial = path.with_suffix(".partial")
        with _connected(database) as connection:
            try:
                connection.table(table).write_parquet(str(partial))
            except duckdb_io_error() as error:
                raise EicuDataError(
                    f"{database}, table {name}: cannot be set down in {scratch()}: {str(error).splitlines()[0]}",
                    remedy="Free some space there, or set TMPDIR to a disk with more.",
                ) from error
        partial.rename(path)
    return path


def duckdb_io_error() -> type[Exception]:
    """Return what DuckDB raises when the disk is full."""
    import duckdb

    return duckdb.IOException


@contextmanager
def _connected(database: Path) -> Iterator[Any]:
    """Open the database for reading, and give DuckDB's errors its name and a next step."""
    try:
        import duckdb
    except ImportError:
        raise EicuDataError(
            f"{database}: DuckDB is not installed.", remedy="pip install duckdb, or export the tables to Parquet."
        ) from None
    try:
        with duckdb.connect(str(database), read_only=True) as connection:
            yield connection
    except duckdb.Error as error:
        raise UnreadableTable(
            f"{database}: cannot be read as a DuckDB database: {str(error).splitlines()[0]}",
            remedy="Give a folder of tables, or a database file that no other program has open for writing.",
        ) from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
