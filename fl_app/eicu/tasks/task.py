"""The interface of a task: from a cohort's hourly rows to samples with labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import polars as pl

from fl_app.eicu.tables import Tables


@dataclass(frozen=True, slots=True)
class Samples:
    """A task's samples.

    ``rows``: (``sample``, patientunitstayid, hour, hospitalid, the variant's columns), sorted by sample and hour; a row
    may be in several samples. ``labels``: (``sample``, ``label``). A label is an Int64 class, a Float32 number, or an
    array of Float32 0 and 1.
    """

    rows: pl.DataFrame
    labels: pl.DataFrame


class Task(Protocol):
    """What is predicted."""

    @property
    def name(self) -> str:
        """The name, as ``training.dataset.options.task`` has it."""

    @property
    def about(self) -> str:
        """One line for people."""

    @property
    def hours(self) -> int:
        """Positions of a sample; with the variant's numbers they decide the model's inputs."""

    @property
    def outputs(self) -> int:
        """Scores per sample: classes, labels, or 1 for a number."""

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that it reads beyond patient, nurseCharting and lab."""

    def samples(self, rows: pl.DataFrame, stays: pl.DataFrame, tables: Tables) -> Samples:
        """Cut samples out of hourly rows.

        Args:
            rows: :attr:`fl_app.eicu.features.Features.rows`.
            stays: the cohort's rows of the patient table.
            tables: the release, for :attr:`tables`.

        Raises:
            EicuDataError: a table that the task needs is missing or broken.
        """


def one_per_stay(rows: pl.DataFrame, labels: pl.DataFrame) -> Samples:
    """Make a sample of each stay that has a label.

    Args:
        rows: sorted by stay and hour.
        labels: (patientunitstayid, label).
    """
    mine = rows.join(labels, on="patientunitstayid", how="semi", maintain_order="left")
    return Samples(
        mine.select(pl.col("patientunitstayid").alias("sample"), pl.all()),
        labels.rename({"patientunitstayid": "sample"}),
    )
