"""What is predicted, from which hours: the benchmark's definitions."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

MINUTES_PER_DAY = 1440


@dataclass(frozen=True, slots=True)
class MortalityTask:
    """Death in hospital, from the first hours of a unit stay that lasted at least two days.

    Rows with 0 < hour <= ``window``; label 1 if ``hospitaldischargestatus`` is ``Expired``.
    """

    name: str
    window: int

    def admits(self) -> pl.Expr:
        """Return which stays of the patient table the task is about."""
        return pl.col("unitdischargeoffset") >= 2 * MINUTES_PER_DAY

    def label(self) -> pl.Expr:
        """Return a stay's label."""
        return (pl.col("hospitaldischargestatus") == "Expired").cast(pl.Int64)

    def uses(self) -> pl.Expr:
        """Return which hourly rows the task sees."""
        return (pl.col("hour") > 0) & (pl.col("hour") <= self.window)


TASKS = {task.name: task for task in (MortalityTask("mortality_48h", 48), MortalityTask("mortality_24h", 24))}
