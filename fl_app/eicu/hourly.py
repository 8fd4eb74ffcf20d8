"""The benchmark's hourly rows, its defects included: events in, one row per stay and hour out.

Every rule is the published code's. Three are defects of the method, kept so that results compare: glucose stands one
charted minute too early; a missing value is replaced by one constant for everybody; FiO2 as a fraction is clipped to
15 percent. :mod:`fl_app.eicu.clinical` is the variant without them.
"""

from __future__ import annotations

import polars as pl

from fl_app.eicu.reduction import hourly_table, one_value_per_minute, shift_glucose
from fl_app.eicu.variables import AT_ADMISSION, CHARTED, VARIABLES

MIN_ROWS, MAX_ROWS = 15, 200
_HOUR = ["stay", "hour"]


def hourly_rows(events: pl.DataFrame, *, shift: bool = True) -> pl.DataFrame:
    """Reduce events to one row per stay and hour.

    The hour is minute / 60 truncated toward zero, so hour 0 has 119 minutes. Of an hour's minutes with any value the
    last one is the row; what it lacks is the mean over the hour.

    Args:
        events: :data:`fl_app.eicu.events.EVENT_SCHEMA`, in any order, copies allowed.
        shift: the benchmark's glucose shift.

    Returns:
        (stay, hour, one Float64 column per item of :data:`CHARTED`), sorted; missing values are null.

    Source: Sheikhalishahi et al., PLOS ONE 2020, section "Data preprocessing", and the code published with it.
    """
    if events.is_empty():
        return pl.DataFrame(schema={"stay": pl.UInt32, "hour": pl.Int32} | {v.name: pl.Float64 for v in CHARTED})
    charted = one_value_per_minute(events)
    return hourly_table(shift_glucose(charted) if shift else charted)


def hour_of(minute: pl.Expr) -> pl.Expr:
    """Return minute / 60 truncated toward zero; by way of the absolute value, since -59 // 60 would be -1."""
    return (minute.sign() * (minute.abs() // 60)).cast(pl.Int32)


def keep_usual_lengths(rows: pl.DataFrame) -> pl.DataFrame:
    """Keep the stays with 15 to 200 hourly rows; rows before admission count."""
    return rows.filter(pl.len().over("stay").is_between(MIN_ROWS, MAX_ROWS))


def impute_and_clip(rows: pl.DataFrame) -> pl.DataFrame:
    """Replace what is missing by the benchmark's constants, then set what is out of range to the nearer end."""
    return rows.with_columns(
        pl.col(variable.name).fill_null(variable.normal).clip(variable.low, variable.high)
        for variable in (*CHARTED, *AT_ADMISSION)
    )


def with_patients(rows: pl.DataFrame, stays: pl.DataFrame) -> pl.DataFrame:
    """Put the stay's own columns beside its hours.

    Args:
        rows: what :func:`hourly_rows` returns.
        stays: the cohort's stays; ``rows.stay`` is the row's number there.

    Returns:
        (patientunitstayid, hour, hospitalid, the 20 variables under the benchmark's names), in the order of ``rows``.
    """
    numbered = stays.with_columns(
        stay=pl.int_range(pl.len(), dtype=pl.UInt32),
        age=pl.col("age").cast(pl.Float64),
    )
    return rows.join(numbered, on="stay", how="left", maintain_order="left").select(
        "patientunitstayid", "hour", "hospitalid", *VARIABLES
    )


def wide(values: pl.DataFrame) -> pl.DataFrame:
    """Turn (stay, hour, item, value) into a row per stay and hour with a column per item, null where there is none."""
    keys = values.select(_HOUR).unique(maintain_order=True)
    for code, variable in enumerate(CHARTED):
        one = values.filter(pl.col("item") == code).select(*_HOUR, pl.col("value").alias(variable.name))
        keys = keys.join(one, on=_HOUR, how="left")
    return keys
