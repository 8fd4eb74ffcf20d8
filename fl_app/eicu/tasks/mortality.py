"""Death in hospital, from the first day or two of a stay."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from fl_app.eicu.tables import Tables
from fl_app.eicu.tasks.task import Samples, one_per_stay

MINUTES_PER_DAY = 1440


@dataclass(frozen=True, slots=True)
class MortalityTask:
    """Death in hospital, from the first hours of a unit stay that lasted at least two days.

    Rows with 0 < hour <= ``window``; label 1 if ``hospitaldischargestatus`` is ``Expired``.
    """

    name: str
    window: int
    hours: int = 50
    outputs: int = 2
    tables: tuple[str, ...] = ()

    @property
    def about(self) -> str:
        """Return one line for people."""
        return f"death in hospital, from the first {self.window} hours of a stay of at least two days"

    def admits(self) -> pl.Expr:
        """Return which stays of the patient table the task is about."""
        return pl.col("unitdischargeoffset") >= 2 * MINUTES_PER_DAY

    def label(self) -> pl.Expr:
        """Return a stay's label."""
        return (pl.col("hospitaldischargestatus") == "Expired").cast(pl.Int64)

    def samples(self, rows: pl.DataFrame, stays: pl.DataFrame, tables: Tables) -> Samples:
        """Return a sample per stay that the task admits."""
        labels = stays.filter(self.admits()).select("patientunitstayid", label=self.label())
        return one_per_stay(rows.filter(pl.col("hour") > 0, pl.col("hour") <= self.window), labels)
