"""A DuckDB database file as a release."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from fl_app.eicu.errors import MissingColumn, MissingTable, UnreadableTable
from fl_app.eicu.features import hourly_features
from fl_app.eicu.prepare import prepare
from fl_app.eicu.tables import Tables


@pytest.fixture
def database(synthetic: Path, tmp_path: Path) -> Path:
    """The synthetic release, loaded as text and types as DuckDB guesses them, names in another letter case."""
    path = tmp_path / "eicu.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA eicu_crd")
        for name in ("patient", "nurseCharting", "lab"):
            file = synthetic / f"{name}.csv.gz"
            connection.execute(f"CREATE TABLE eicu_crd.{name.upper()} AS FROM read_csv('{file}', nullstr='')")
    return path


def test_its_features_are_those_of_the_files_that_it_was_loaded_from(synthetic: Path, database: Path) -> None:
    assert hourly_features(Tables(database)).rows.equals(hourly_features(Tables(synthetic)).rows)


def test_preparing_it_again_does_nothing(database: Path, tmp_path: Path) -> None:
    assert list(prepare(database, tmp_path / "out").manifest["inputs"]) == ["eicu.duckdb"]
    assert prepare(database, tmp_path / "out").reused


def test_what_is_in_the_write_ahead_log_counts(database: Path, tmp_path: Path) -> None:
    prepare(database, tmp_path / "out")
    before = database.read_bytes()
    program = (
        "import duckdb, os, sys; made = duckdb.connect(sys.argv[1]);"
        "made.execute(\"SET checkpoint_threshold = '1TB'\");"
        "made.execute('DELETE FROM eicu_crd.lab WHERE labid % 2 = 0'); os._exit(0)"  # leaves its log behind
    )
    subprocess.run([sys.executable, "-c", program, str(database)], check=True)
    assert database.read_bytes() == before
    assert database.with_name("eicu.duckdb.wal").is_file()
    again = prepare(database, tmp_path / "out")
    assert not again.reused
    assert set(again.manifest["inputs"]) == {"eicu.duckdb", "eicu.duckdb.wal"}


def test_a_missing_table_or_column_is_named_with_the_database(database: Path) -> None:
    with pytest.raises(MissingTable, match=r"eicu\.duckdb: no table hospital; found"):
        Tables(database).table("hospital")
    with duckdb.connect(str(database)) as connection:
        connection.execute("ALTER TABLE eicu_crd.lab DROP COLUMN labname")
    with pytest.raises(MissingColumn, match=r"eicu\.duckdb, table lab: no column labname"):
        hourly_features(Tables(database))


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.pdf").write_bytes(b"%PDF" * 5000)
    with pytest.raises(UnreadableTable, match=r"thesis\.pdf: cannot be read as a DuckDB database"):
        Tables(tmp_path / "thesis.pdf").table("patient")
