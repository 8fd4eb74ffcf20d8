"""The variant without the benchmark's defects: the same rules of cohort, the same columns and interface.

What is different from :mod:`fl_app.eicu.hourly`:

- glucose stays at the minute at which it was measured (so a few stays have an hour more or less, and the rule of 15 to
  200 rows admits a few others);
- an hour's value is the item's last in that hour, whichever minute is the hour's last; copies in a minute are averaged
  and a missing copy does not hide the others;
- FiO2 is in percent: a fraction (0.15 to 1) is multiplied by 100; what is then no possible fraction of inspired oxygen
  is missing, as is any value outside its variable's legal range (the benchmark moves it to the range's end);
- a gap takes the stay's latest value before it; what was never measured takes the training sites' median where the
  sites have surveyed it (:mod:`fl_app.eicu.fitted`), else a typical value of the intensive care population
  (:data:`TYPICAL`), a constant and not fitted to anybody's data;
- an indicator per measured variable says whether the value was charted in this hour (0) or is filled in (1).
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from fl_app.eicu.hourly import hour_of, keep_usual_lengths, wide, with_patients
from fl_app.eicu.variables import AT_ADMISSION, CHARTED, ITEM, VARIABLES, Measured

_HOUR = ["stay", "hour"]

TYPICAL: dict[str, float] = {
    variable.name: variable.normal for variable in (*CHARTED, *AT_ADMISSION) if variable.name != "FiO2"
} | {"FiO2": 21.0}
"""What replaces a value that was never measured: the benchmark's normal values, with room air in percent."""

SUFFIX = " filled in"
FILLED = tuple(f"{variable.name}{SUFFIX}" for variable in (*CHARTED, *AT_ADMISSION))


def clinical_rows(events: pl.DataFrame, stays: pl.DataFrame, *, typical: Mapping[str, float] = TYPICAL) -> pl.DataFrame:
    """Reduce events to hourly features.

    Args:
        events: :data:`fl_app.eicu.events.EVENT_SCHEMA`.
        stays: the cohort's stays; ``events.stay`` is the row's number there.
        typical: what replaces a value that was never measured, for each measured variable.

    Returns:
        (patientunitstayid, hour, hospitalid, the 20 variables, an indicator 0.0 or 1.0 per name in :data:`FILLED`),
        sorted by stay and hour.
    """
    usable = _possible(events)
    minutes = usable.group_by("stay", "minute", "item").agg(pl.col("value").mean())
    hours = minutes.with_columns(hour=hour_of(pl.col("minute")))
    last = hours.group_by([*_HOUR, "item"]).agg(pl.col("value").sort_by("minute").last())
    rows = with_patients(keep_usual_lengths(wide(last).sort(_HOUR)), stays)
    charted = [variable.name for variable in CHARTED]
    measured = [*CHARTED, *AT_ADMISSION]
    rows = rows.with_columns(_or_missing(variable) for variable in AT_ADMISSION)
    rows = rows.with_columns(
        pl.col(variable.name).is_null().cast(pl.Float64).alias(name)
        for variable, name in zip(measured, FILLED, strict=True)
    )
    return rows.with_columns(pl.col(charted).forward_fill().over("patientunitstayid")).select(
        "patientunitstayid",
        "hour",
        "hospitalid",
        *(pl.col(name).fill_null(typical[name]) if name in TYPICAL else pl.col(name) for name in VARIABLES),
        *FILLED,
    )


def _possible(events: pl.DataFrame) -> pl.DataFrame:
    """Keep events with a possible value of one of the 14 items, FiO2 in percent."""
    inspired = pl.col("item") == ITEM["FiO2"]
    fraction = inspired & pl.col("value").is_between(0.15, 1.0)
    limits = pl.DataFrame(
        {
            "item": pl.Series(range(len(CHARTED)), dtype=pl.UInt8),
            "low": [float(variable.low) for variable in CHARTED],
            "high": [100.0 if variable.name == "FiO2" else float(variable.high) for variable in CHARTED],
        }
    )
    return (
        events.drop_nulls("value")
        .with_columns(value=pl.when(fraction).then(pl.col("value") * 100).otherwise("value"))
        .join(limits, on="item")
        .filter(pl.col("value").is_between("low", "high"))
        .drop("low", "high")
    )


def _or_missing(variable: Measured) -> pl.Expr:
    column = pl.col(variable.name)
    return pl.when(column.is_between(variable.low, variable.high)).then(column)
