"""What comes next, asked again every six hours: remaining length of stay, and decompensation.

The benchmark labels every hourly row, and its training code cuts a stay's rows into windows: twelve rows, a new window
every six, as long as six more rows follow; the label is that of the window's last row. Two of its habits are kept or
not, so that nobody needs to guess:

- decompensation is "dead at unit discharge" over the last 48 hours of a stay's rows, as the published code has it (its
  column is called ``label_24``);
- the remaining stay is in days with two decimals, as its extraction has it; its training code then cuts the fraction
  off, which is not done here.

Source: the code published with Sheikhalishahi et al., PLOS ONE 2020 (``data_extractor/utils.py``,
``data_reader/read_data.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from fl_app.eicu.tables import Tables
from fl_app.eicu.tasks.mortality import MINUTES_PER_DAY
from fl_app.eicu.tasks.task import Samples

LENGTH, STEP = 12, 6
"""Rows of a window, and rows from one window's beginning to the next; as many must follow a window."""

HOURS_BEFORE_THE_END = 48
_REMAINING = "remaining days"
_COLUMNS = ("unitdischargeoffset", "unitdischargestatus")


@dataclass(frozen=True, slots=True)
class RemainingStayTask:
    """How many days the unit stay still lasts. Rows with hour > 0 and before discharge."""

    name: str = "remaining_los"
    about: str = "days that the unit stay still lasts, from the last twelve hourly rows"
    hours: int = LENGTH
    outputs: int = 1
    tables: tuple[str, ...] = ()

    def samples(self, rows: pl.DataFrame, stays: pl.DataFrame, tables: Tables) -> Samples:
        """Return a sample per window; its label is days, Float32, rounded to two decimals."""
        mine = _within_stay(rows, stays).filter(pl.col("unitdischargeoffset") > 0)
        return windows(mine, pl.col(_REMAINING).round(2).cast(pl.Float32))


@dataclass(frozen=True, slots=True)
class DecompensationTask:
    """Whether the patient dies in the unit soon. Rows with hour > 0 of unit stays longer than a day, known outcome."""

    name: str = "decompensation"
    about: str = f"death in the unit within {HOURS_BEFORE_THE_END} hours, from the last twelve hourly rows"
    hours: int = LENGTH
    outputs: int = 2
    tables: tuple[str, ...] = ()

    def samples(self, rows: pl.DataFrame, stays: pl.DataFrame, tables: Tables) -> Samples:
        """Return a sample per window; label 1 if ``unitdischargestatus`` is ``Expired`` and the end is near."""
        mine = _within_stay(rows, stays).filter(
            pl.col("unitdischargeoffset") > MINUTES_PER_DAY, pl.col("unitdischargestatus").is_in(["Alive", "Expired"])
        )
        near = pl.col("hour") >= pl.col("hour").max().over("patientunitstayid") - HOURS_BEFORE_THE_END
        return windows(mine, (near & (pl.col("unitdischargestatus") == "Expired")).cast(pl.Int64))


def _within_stay(rows: pl.DataFrame, stays: pl.DataFrame) -> pl.DataFrame:
    """Return the rows after admission and before unit discharge, with the stay's end and the days that remain."""
    ends = stays.select("patientunitstayid", *_COLUMNS)
    remaining = pl.col("unitdischargeoffset") / MINUTES_PER_DAY - pl.col("hour") / 24
    with_ends = rows.join(ends, on="patientunitstayid", how="inner", maintain_order="left")
    return with_ends.with_columns(remaining.alias(_REMAINING)).filter(pl.col("hour") > 0, pl.col(_REMAINING) > 0)


def windows(rows: pl.DataFrame, label: pl.Expr) -> Samples:
    """Cut each stay's rows into windows.

    Args:
        rows: sorted by stay and hour, with what ``label`` needs.
        label: of a row; a window has that of its last one.
    """
    counted = rows.with_columns(
        label.alias("label"),
        place=pl.int_range(pl.len()).over("patientunitstayid"),
        length=pl.len().over("patientunitstayid"),
    )
    window = pl.col("window")
    parts = [counted.with_columns(window=pl.col("place") // STEP - back) for back in range(LENGTH // STEP)]
    in_windows = (
        pl.concat(parts)
        .filter(window >= 0, window * STEP + LENGTH + STEP <= pl.col("length"))
        .sort("patientunitstayid", "window", "place")
        .with_columns(sample=pl.struct("patientunitstayid", "window").rle_id().cast(pl.Int64))
    )
    labels = in_windows.group_by("sample", maintain_order=True).agg(pl.col("label").last())
    extra = ("label", "place", "length", "window", _REMAINING, *_COLUMNS)
    return Samples(in_windows.select("sample", pl.exclude("sample", *extra)), labels)
