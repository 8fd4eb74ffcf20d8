"""The clinical variant, rule by rule: what the benchmark's defects become."""

from typing import Any

import polars as pl
import pytest

from fl_app.eicu.clinical import FILLED, clinical_rows
from fl_app.eicu.events import EVENT_SCHEMA
from fl_app.eicu.features import VARIANTS
from fl_app.eicu.hourly import hourly_rows, impute_and_clip, with_patients
from fl_app.eicu.variables import ITEM, VARIABLES

STAY = pl.DataFrame(
    {
        "patientunitstayid": [7], "hospitalid": [56], "age": [60], "gender": ["Male"], "ethnicity": ["Asian"],
        "apacheadmissiondx": ["nodx"], "admissionheight": [170.0], "admissionweight": [500.0],
    },
    schema_overrides={"admissionheight": pl.Float64, "admissionweight": pl.Float64},
)  # fmt: skip


def frame(*events: tuple[int, str, float]) -> pl.DataFrame:
    """Return these events among those that make 15 hours."""
    regular = [(60 * hour, "Heart Rate", 80.0) for hour in range(15)]
    coded = [(0, minute, ITEM[item], value) for minute, item, value in [*regular, *events]]
    return pl.DataFrame(coded, schema=EVENT_SCHEMA, orient="row")


def hours(*events: tuple[int, str, float]) -> list[dict[str, Any]]:
    return clinical_rows(frame(*events), STAY).rows(named=True)


def test_glucose_stays_in_its_hour_where_the_benchmark_moves_it() -> None:
    event = (300, "glucose", 200.0)
    assert [row["glucose"] for row in hours(event)][4:6] == [128, 200]
    shifted = impute_and_clip(with_patients(hourly_rows(frame(event)), STAY))["glucose"].to_list()
    assert shifted[4:6] == [200, 128]


def test_a_gap_takes_the_latest_value_before_it_and_says_so() -> None:
    rows = hours((120, "pH", 7.2), (360, "pH", 7.3))
    assert [row["pH"] for row in rows[:8]] == [7.4, 7.4, 7.2, 7.2, 7.2, 7.2, 7.3, 7.3]
    assert [row["pH filled in"] for row in rows[:8]] == [1, 1, 0, 1, 1, 1, 0, 1]


@pytest.mark.parametrize(("raw", "percent"), [(0.21, 21), (0.4, 40), (1.0, 100), (40, 40), (100, 100)])
def test_fio2_is_in_percent(raw: float, percent: float) -> None:
    assert hours((60, "FiO2", raw))[1]["FiO2"] == pytest.approx(percent)


@pytest.mark.parametrize("raw", [0.0, 0.1, 5, 10_000])
def test_an_impossible_fio2_is_missing_and_not_moved_to_the_end_of_the_range(raw: float) -> None:
    row = hours((60, "FiO2", raw))[1]
    assert (row["FiO2"], row["FiO2 filled in"]) == (21, 1)


def test_an_impossible_weight_is_missing() -> None:
    row = hours()[0]
    assert (row["admissionweight"], row["admissionweight filled in"], row["admissionheight filled in"]) == (81, 1, 0)


def test_the_last_value_of_the_hour_counts_and_copies_are_averaged() -> None:
    assert hours((70, "Heart Rate", 90), (75, "Heart Rate", 100), (75, "Heart Rate", 110))[1]["Heart Rate"] == 105


def test_rows_are_complete_and_the_layout_has_a_number_per_indicator() -> None:
    rows = clinical_rows(frame(), STAY)
    assert rows.columns[3:] == [*VARIABLES, *FILLED]
    assert sum(rows.null_count().row(0)) == 0
    assert VARIANTS["clinical"].layout.numbers == 13 + 16
    assert VARIANTS["clinical"].layout.inputs == 50 * (429 + 29)
