"""Raw tables: found by any letter case, read by name, and every fault named."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from fl_app.eicu.errors import EicuDataError, EmptyTable, MissingColumn, MissingTable, UnreadableTable
from fl_app.eicu.tables import Kind, Table, Tables

COLUMNS = {"patientunitstayid": Kind.ID, "labresultoffset": Kind.MINUTE, "labname": Kind.TEXT, "labresult": Kind.NUMBER}
CSV = 'labid,patientunitstayid,labresultoffset,labname,labresult\n1,7,-5,pH,7.31\n2,8,60,"",unable\n3,8,61,pH, 7.4 \n'
ROWS = [(7, -5, "pH", 7.31), (8, 60, None, None), (8, 61, "pH", 7.4)]


def read(folder: Path) -> list[tuple[object, ...]]:
    table = Tables(folder).table("lab")
    return table.collect(table.scan(COLUMNS)).rows()


def test_csv_and_csv_gz_and_parquet_read_alike(tmp_path: Path) -> None:
    for name in ("csv", "gz", "parquet"):
        (tmp_path / name).mkdir()
    (tmp_path / "csv" / "lab.csv").write_text(CSV)
    (tmp_path / "gz" / "lab.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    pl.DataFrame(
        {"patientunitstayid": [7, 8, 8], "labresultoffset": [-5, 60, 61], "labname": ["pH", None, "pH"]}
    ).with_columns(labresult=pl.Series([7.31, float("nan"), 7.4])).write_parquet(tmp_path / "parquet" / "lab.parquet")
    assert read(tmp_path / "csv") == read(tmp_path / "gz") == read(tmp_path / "parquet") == ROWS


def test_letter_case_and_order_of_columns_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "LAB.CSV").write_text("labResult,LABNAME,patientUnitStayID,labResultOffset\n7.31,pH,7,-5\n")
    assert read(tmp_path) == ROWS[:1]


def test_whole_numbers_that_a_tool_wrote_with_a_decimal_point_are_whole(tmp_path: Path) -> None:
    (tmp_path / "lab.csv").write_text(CSV.replace(",7,-5,", ",7.0,-5.0,"))
    assert read(tmp_path) == ROWS


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "NaN", "", "unable", "12 mg"])
def test_a_value_that_is_no_finite_number_is_missing(tmp_path: Path, text: str) -> None:
    (tmp_path / "lab.csv").write_text(CSV.replace("7.31", text))
    assert read(tmp_path)[0][3] is None


FAULTS = {
    "no such table": (None, MissingTable, "no table lab"),
    "no such column": (CSV.replace("labname", "lab_name").encode(), MissingColumn, "no column labname"),
    "a column twice": (CSV.replace("labid", "LABNAME").encode(), MissingColumn, "labname stands twice"),
    "a column twice, alike": (CSV.replace("labid", "labname").encode(), MissingColumn, "labname stands twice"),
    "empty": (b"", EmptyTable, "the file is empty"),
    "not UTF-8": (CSV.replace("pH", "p\u00e9").encode("latin-1"), UnreadableTable, "utf-8"),
    "an id that is no number": (CSV.replace(",7,", ",x7,").encode(), UnreadableTable, "x7"),
    "an id that overflows": (CSV.replace(",7,", ",99999999999999999999,").encode(), UnreadableTable, "9999999999"),
    "an offset that overflows": (CSV.replace(",-5,", ",3000000000,").encode(), UnreadableTable, "3000000000"),
    "an offset with a fraction": (CSV.replace(",-5,", ",-5.5,").encode(), UnreadableTable, "-5.5"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_table_is_refused_with_its_path_and_the_fault(tmp_path: Path, fault: str) -> None:
    content, error, told = FAULTS[fault]
    if content is not None:
        (tmp_path / "lab.csv").write_bytes(content)
    with pytest.raises(error) as caught:
        read(tmp_path)
    assert isinstance(caught.value, EicuDataError)
    assert str(tmp_path) in str(caught.value)
    assert told in str(caught.value)


@pytest.mark.parametrize("cut", [-1, -9, 30])
def test_a_gzip_file_that_breaks_off_is_refused(tmp_path: Path, cut: int) -> None:
    (tmp_path / "lab.csv.gz").write_bytes(gzip.compress(CSV.encode())[:cut])
    with pytest.raises(UnreadableTable, match=r"lab\.csv\.gz: cannot be read"):
        read(tmp_path)


def test_a_gzip_file_with_a_changed_byte_is_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(CSV.encode()))
    packed[-6] ^= 0xFF
    (tmp_path / "lab.csv.gz").write_bytes(packed)
    with pytest.raises(UnreadableTable, match="checksum"):
        read(tmp_path)


def test_a_table_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lab.csv").write_text(CSV)
    (tmp_path / "lab.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    with pytest.raises(MissingTable, match=r"2 times: lab\.csv, lab\.csv\.gz"):
        read(tmp_path)


def test_a_table_with_a_header_alone_is_refused_where_rows_are_needed(tmp_path: Path) -> None:
    (tmp_path / "lab.csv").write_text(CSV.splitlines()[0] + "\n")
    with pytest.raises(EmptyTable, match="header but no rows"):
        Table("lab", tmp_path / "lab.csv").require_rows()


@pytest.mark.parametrize(("text", "whole"), [(CSV, True), (CSV.rstrip("\n"), True), (CSV[:-12], False)])
def test_a_csv_file_that_breaks_off_in_its_last_line_is_refused(tmp_path: Path, text: str, whole: bool) -> None:
    (tmp_path / "lab.csv").write_text(text)
    table = Tables(tmp_path).table("lab")
    if whole:
        table.require_rows()
        return
    with pytest.raises(UnreadableTable, match=r"lab\.csv: breaks off in its last line, which has \d of 5 fields"):
        table.require_rows()


def test_fields_too_many_are_ignored_and_fields_too_few_are_blank(tmp_path: Path) -> None:
    (tmp_path / "lab.csv").write_text(CSV.replace("2,8,60", "4,9,70\n5,9,71,pH,7.5,8,9\n2,8,60"))
    assert read(tmp_path) == [ROWS[0], (9, 70, None, None), (9, 71, "pH", 7.5), *ROWS[1:]]


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "lab.csv").write_bytes(b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode())
    assert read(tmp_path) == ROWS


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("patientunitstayid", pl.Series([7.5]), "7.5"),
        ("patientunitstayid", pl.Series([float("nan")]), "NaN"),
        ("patientunitstayid", pl.Series([2**64 - 1], dtype=pl.UInt64), "18446744073709551615"),
        ("labresultoffset", pl.Series([2**40]), "1099511627776"),
        ("labresultoffset", pl.Series([True]), "true"),
    ],
)
def test_whole_numbers_that_a_parquet_file_s_type_cannot_give_are_refused(
    tmp_path: Path, column: str, values: pl.Series, told: str
) -> None:
    frame = pl.DataFrame({"patientunitstayid": [7], "labresultoffset": [-5], "labname": ["pH"], "labresult": [7.31]})
    frame.write_parquet(tmp_path / "lab.parquet")
    assert read(tmp_path) == ROWS[:1]  # the control
    frame.with_columns(values.alias(column)).write_parquet(tmp_path / "lab.parquet")
    with pytest.raises(UnreadableTable, match=rf"lab\.parquet: .*{column}.*{told}"):
        read(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingTable, match="no such folder"):
        Tables(tmp_path / "nowhere").table("lab")
