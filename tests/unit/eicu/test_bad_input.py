"""Raw tables with faults and oddities, the way that a user goes: an error that names them, or the documented rule."""

import gzip
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from fl_app.eicu.errors import EicuDataError, EmptyTable, UnreadableTable
from fl_app.eicu.events import FARTHEST_MINUTE
from fl_app.eicu.features import hourly_features
from fl_app.eicu.tables import Tables
from fl_app.eicu.variables import CHARTED

Change = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture(scope="module")
def reference(synthetic: Path) -> pl.DataFrame:
    return hourly_features(Tables(synthetic)).rows


def changed(synthetic: Path, folder: Path, **changes: Change) -> Tables:
    """Return the release with these tables changed, as text; the others as they are."""
    for name in ("patient", "nurseCharting", "lab"):
        if name in changes:
            frame = pl.read_csv(synthetic / f"{name}.csv.gz", infer_schema=False)
            (folder / f"{name}.csv.gz").write_bytes(gzip.compress(changes[name](frame).write_csv().encode(), 1))
        else:
            (folder / f"{name}.csv.gz").symlink_to(synthetic / f"{name}.csv.gz")
    return Tables(folder)


def at_row_of(reference: pl.DataFrame, column: str, text: str) -> Change:
    """Return a change of one charted heart rate of a stay in the cohort."""
    stay = str(reference["patientunitstayid"][0])

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        mine = (pl.col("patientunitstayid") == stay) & (pl.col("nursingchartcelltypevalname") == "Heart Rate")
        first = mine & (mine.cum_sum() == 1)
        return frame.with_columns(pl.when(first).then(pl.lit(text)).otherwise(column).alias(column))

    return change


def test_unsorted_and_doubled_rows_change_nothing(synthetic: Path, reference: pl.DataFrame, tmp_path: Path) -> None:
    def shuffle(frame: pl.DataFrame) -> pl.DataFrame:
        return pl.concat([frame, frame.sample(fraction=0.3, seed=1)]).sample(fraction=1, shuffle=True, seed=2)

    tables = changed(synthetic, tmp_path, nurseCharting=shuffle, lab=shuffle, patient=lambda frame: frame.reverse())
    found = hourly_features(tables).rows
    assert found.drop(pl.selectors.float()).equals(reference.drop(pl.selectors.float()))
    for variable in CHARTED:  # an hour's mean may be added up in another order
        assert (found[variable.name] - reference[variable.name]).abs().max() < 1e-9


@pytest.mark.parametrize("minute", [FARTHEST_MINUTE + 1, -FARTHEST_MINUTE - 1, 2**31 - 1])
def test_an_offset_decades_from_admission_is_refused(
    synthetic: Path, reference: pl.DataFrame, tmp_path: Path, minute: int
) -> None:
    change = at_row_of(reference, "nursingchartoffset", str(minute))
    with pytest.raises(UnreadableTable, match=rf"nurseCharting\.csv\.gz: an offset of {minute} minutes is \d+ years"):
        hourly_features(changed(synthetic, tmp_path, nurseCharting=change))


def test_the_farthest_offset_is_still_right(synthetic: Path, reference: pl.DataFrame, tmp_path: Path) -> None:
    change = at_row_of(reference, "nursingchartoffset", str(FARTHEST_MINUTE))
    found = hourly_features(changed(synthetic, tmp_path, nurseCharting=change)).rows
    mine = found.filter(pl.col("patientunitstayid") == reference["patientunitstayid"][0])
    assert mine["hour"][-1] == FARTHEST_MINUTE // 60
    others = pl.col("patientunitstayid") != reference["patientunitstayid"][0]
    assert found.filter(others).equals(reference.filter(others))


@pytest.mark.parametrize("text", ["2147483648", "99999999999999999999", "ten", "10.5"])
def test_an_offset_that_is_no_whole_number_of_32_bits_is_refused(
    synthetic: Path, reference: pl.DataFrame, tmp_path: Path, text: str
) -> None:
    change = at_row_of(reference, "nursingchartoffset", text)
    with pytest.raises(UnreadableTable, match=r"nurseCharting\.csv\.gz: .*nursingchartoffset") as caught:
        hourly_features(changed(synthetic, tmp_path, nurseCharting=change))
    assert text in str(caught.value)


def test_a_row_without_an_offset_or_a_stay_is_left_out(
    synthetic: Path, reference: pl.DataFrame, tmp_path: Path
) -> None:
    blank = {"patientunitstayid": "", "nursingchartoffset": "60"}
    stay = {"patientunitstayid": str(reference["patientunitstayid"][0]), "nursingchartoffset": ""}

    def more(frame: pl.DataFrame) -> pl.DataFrame:
        charted = frame.filter(pl.col("nursingchartcelltypevalname") == "Heart Rate").head(1)
        return pl.concat(
            [frame, *(charted.with_columns(**{k: pl.lit(v) for k, v in row.items()}) for row in (blank, stay))]
        )

    assert hourly_features(changed(synthetic, tmp_path, nurseCharting=more)).rows.equals(reference)


def test_variables_that_are_missing_everywhere_are_the_constants(synthetic: Path, tmp_path: Path) -> None:
    tables = changed(synthetic, tmp_path, lab=lambda frame: frame.filter(pl.col("labname") == "BUN"))
    rows = hourly_features(tables).rows
    assert {name: set(rows[name]) for name in ("glucose", "pH", "FiO2")} == {
        "glucose": {128},
        "pH": {7.4},
        "FiO2": {15},
    }
    clinical = hourly_features(tables, "clinical").rows
    assert set(clinical["FiO2"]) == {21}
    assert set(clinical["FiO2 filled in"]) == {1}
    assert sum(rows.null_count().row(0)) == sum(clinical.null_count().row(0)) == 0


def test_charting_that_is_all_text_leaves_who_has_enough_lab_values(synthetic: Path, tmp_path: Path) -> None:
    tables = changed(
        synthetic, tmp_path, nurseCharting=lambda frame: frame.with_columns(nursingchartvalue=pl.lit("unable"))
    )
    rows = hourly_features(tables).rows
    assert set(rows["Heart Rate"]) == {86}
    assert rows.filter(pl.col("glucose") != 128).height


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"patient": lambda frame: frame.with_columns(hospitaldischargestatus=pl.lit(""))},
            "0 after 'hospital discharge",
        ),
        ({"patient": lambda frame: frame.with_columns(uniquepid=pl.lit("one"))}, "0 after 'one unit stay'"),
        ({"patient": lambda frame: frame.with_columns(age=pl.lit("> 89"))}, "0 after 'age 18 to 89'"),
        (
            {
                "nurseCharting": lambda frame: frame.with_columns(patientunitstayid=pl.lit("5")),
                "lab": lambda frame: frame.with_columns(patientunitstayid=pl.lit("5")),
            },
            "0 after '15 to 200 hourly rows'",
        ),
    ],
)
def test_an_empty_cohort_says_which_rule_emptied_it(
    synthetic: Path, tmp_path: Path, changes: dict[str, Change], told: str
) -> None:
    with pytest.raises(EmptyTable, match=told):
        hourly_features(changed(synthetic, tmp_path, **changes))


def test_bytes_that_are_no_utf_8_are_refused_in_whichever_column(synthetic: Path, tmp_path: Path) -> None:
    text = gzip.decompress((synthetic / "nurseCharting.csv.gz").read_bytes())
    for name in ("patient", "lab"):
        (tmp_path / f"{name}.csv.gz").symlink_to(synthetic / f"{name}.csv.gz")
    for place in (b"Scores", b"Glasgow coma score"):
        (tmp_path / "nurseCharting.csv").write_bytes(text.replace(place, b"caf\xe9", 1))
        with pytest.raises(UnreadableTable, match=r"nurseCharting\.csv: cannot be read: invalid utf-8"):
            hourly_features(Tables(tmp_path))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_release_that_broke_off_anywhere_is_refused(synthetic: Path, tmp_path: Path, share: float) -> None:
    for name in ("patient", "lab"):
        (tmp_path / f"{name}.csv.gz").symlink_to(synthetic / f"{name}.csv.gz")
    packed = (synthetic / "nurseCharting.csv.gz").read_bytes()
    (tmp_path / "nurseCharting.csv.gz").write_bytes(packed[: int(share * len(packed))])
    with pytest.raises(EicuDataError, match=r"nurseCharting\.csv\.gz"):
        hourly_features(Tables(tmp_path))
