"""The hourly reduction, rule by rule with arithmetic, and against the plain reference on arbitrary events."""

import eicu_reference as reference
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_app.eicu import hourly
from fl_app.eicu.events import EVENT_SCHEMA
from fl_app.eicu.variables import CHARTED, ITEM, OTHER_ITEM

NAMES = [variable.name for variable in CHARTED]


def events(*rows: tuple[int, str, float | None], stay: int = 0) -> pl.DataFrame:
    coded = [(stay, minute, ITEM.get(item, OTHER_ITEM), value) for minute, item, value in rows]
    return pl.DataFrame(coded, schema=EVENT_SCHEMA, orient="row")


def row_of(frame: pl.DataFrame, hour: int) -> dict[str, float | None]:
    return frame.row(by_predicate=pl.col("hour") == hour, named=True)


def test_the_last_minute_of_an_hour_is_its_row_and_a_gap_takes_the_hours_mean() -> None:
    rows = hourly.hourly_rows(
        events((65, "Heart Rate", 80), (70, "Heart Rate", 90), (70, "pH", 7.1), (80, "pH", 7.3), (119, "FiO2", 40))
    )
    row = row_of(rows, 1)
    assert (row["Heart Rate"], row["pH"], row["FiO2"]) == (85, pytest.approx(7.2), 40)


def test_the_last_row_s_own_value_wins_over_the_mean() -> None:
    rows = hourly.hourly_rows(events((60, "Heart Rate", 80), (61, "Heart Rate", 100)))
    assert row_of(rows, 1)["Heart Rate"] == 100


def test_hours_truncate_toward_zero_so_that_hour_zero_has_119_minutes() -> None:
    rows = hourly.hourly_rows(events((-61, "pH", 1), (-60, "pH", 2), (-59, "pH", 3), (59, "pH", 4), (60, "pH", 5)))
    assert rows.select("hour", "pH").rows() == [(-1, 2), (0, 4), (1, 5)]


def test_of_copies_in_one_minute_the_largest_counts_and_a_missing_one_beats_it() -> None:
    rows = hourly.hourly_rows(
        events((60, "pH", 7.0), (60, "pH", 7.4), (60, "Heart Rate", 80), (60, "Heart Rate", None), (60, "pH", 7.2))
    )
    assert (row_of(rows, 1)["pH"], row_of(rows, 1)["Heart Rate"]) == (7.4, None)


def test_glucose_stands_one_charted_minute_earlier_and_the_first_is_lost() -> None:
    rows = hourly.hourly_rows(events((60, "glucose", 100), (120, "pH", 7), (180, "glucose", 200), (240, "pH", 7)))
    assert rows.select("hour", "glucose").rows() == [(2, 200), (4, None)]


def test_a_minute_with_nothing_usable_still_takes_the_shifted_glucose() -> None:
    rows = hourly.hourly_rows(events((60, "pH", 7), (120, "pH", None), (180, "GCS Note", 1), (240, "glucose", 150)))
    assert rows.select("hour", "glucose").rows() == [(1, None), (3, 150)]


def test_without_the_shift_glucose_stays_where_it_was_measured() -> None:
    rows = hourly.hourly_rows(events((60, "pH", 7), (240, "glucose", 150)), shift=False)
    assert rows.select("hour", "glucose").rows() == [(1, None), (4, 150)]


def test_glucose_never_moves_to_another_stay() -> None:
    both = pl.concat([events((60, "pH", 7), stay=0), events((30, "glucose", 99), (60, "pH", 7), stay=1)])
    assert hourly.hourly_rows(both)["glucose"].null_count() == 2


@pytest.mark.parametrize(("hours", "kept"), [(14, False), (15, True), (200, True), (201, False)])
def test_a_stay_needs_15_to_200_rows(hours: int, kept: bool) -> None:
    rows = hourly.hourly_rows(events(*((60 * hour, "pH", 7.0) for hour in range(hours))))
    assert hourly.keep_usual_lengths(rows).is_empty() is not kept


def test_events_of_nobody_give_no_rows() -> None:
    assert hourly.hourly_rows(events()).is_empty()
    assert hourly.hourly_rows(events((60, "pH", None))).is_empty()


VALUES = st.none() | st.integers(-50, 500).map(float) | st.floats(0, 400, allow_nan=False)
STAY = st.lists(st.tuples(st.integers(-200, 400), st.sampled_from([*NAMES, "something else"]), VALUES), max_size=60)


@settings(max_examples=150, deadline=None)
@given(stays=st.lists(STAY, min_size=1, max_size=4), seed=st.randoms(use_true_random=False))
def test_any_events_in_any_order_give_the_reference_s_rows(stays: list[list[reference.Event]], seed) -> None:
    frame = pl.concat([events(*stay, stay=number) for number, stay in enumerate(stays)])
    order = list(range(frame.height))
    seed.shuffle(order)
    found = hourly.hourly_rows(frame[order])
    expected = {
        (number, hour): row for number, stay in enumerate(stays) for hour, row in reference.hourly(stay).items()
    }
    assert list(found.select("stay", "hour").iter_rows()) == sorted(expected)
    for row in found.iter_rows(named=True):
        want = expected[row["stay"], row["hour"]]
        for name in NAMES:
            assert row[name] == (None if want[name] is None else pytest.approx(want[name], rel=1e-12, abs=1e-12))
