"""Raw tables to hourly features: the whole way, within bounded memory.

Stays do not depend on one another, so events beyond what fits are set down on disk by stay, bucket by bucket, and each
bucket is reduced by itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from fl_app.eicu import hourly
from fl_app.eicu.cohort import Cohort, Step, read_patients, select_cohort
from fl_app.eicu.errors import EicuDataError, EmptyTable
from fl_app.eicu.events import EVENT_SCHEMA, read_events
from fl_app.eicu.tables import Tables

STAYS_PER_BUCKET = 10_000
EVENTS_IN_MEMORY = 4_000_000

Reduce = Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Features:
    """The hourly rows of a cohort, and the cohort with every rule counted.

    ``rows`` is (patientunitstayid, hour, hospitalid, the 20 variables), imputed and clipped, sorted by stay and hour.
    ``cohort.stays`` holds the stays that have rows.
    """

    rows: pl.DataFrame
    cohort: Cohort


def benchmark_rows(events: pl.DataFrame, stays: pl.DataFrame) -> pl.DataFrame:
    """Return the benchmark variant's features of these events; see :mod:`fl_app.eicu.hourly` for every rule."""
    rows = hourly.keep_usual_lengths(hourly.hourly_rows(events))
    return hourly.impute_and_clip(hourly.with_patients(rows, stays))


VARIANTS: dict[str, Reduce] = {"benchmark": benchmark_rows}


def hourly_features(
    tables: Tables, variant: str = "benchmark", *, in_memory: int = EVENTS_IN_MEMORY, scratch: Path | None = None
) -> Features:
    """Read a release and reduce it to hourly features.

    Args:
        tables: the release; ``patient``, ``lab`` and ``nurseCharting`` are read.
        variant: a key of :data:`VARIANTS`.
        in_memory: how many events may be held before they go to disk.
        scratch: where to; the system's temporary folder if left out.

    Raises:
        EicuDataError: a table is missing or broken, nobody is left in the cohort, or the disk is full.
    """
    cohort = select_cohort(read_patients(tables))
    if cohort.stays.is_empty():
        raise EmptyTable(
            f"{tables.folder}: no stay is left in the cohort: {_told(cohort.flow)}.",
            remedy="`python -m fl_app.eicu describe` shows what each rule removed.",
        )
    reduce = VARIANTS[variant]
    with _spool(read_events(tables, cohort.stays), cohort.stays.height, in_memory, scratch) as buckets:
        rows = pl.concat([reduce(events, cohort.stays) for events in buckets]).sort("patientunitstayid", "hour")
    stays = cohort.stays.join(rows.select("patientunitstayid").unique(), on="patientunitstayid", how="semi")
    last = Step("15 to 200 hourly rows", cohort.stays.height - stays.height, stays.height)
    flow = (*cohort.flow, last)
    if stays.is_empty():
        raise EmptyTable(
            f"{tables.folder}: no stay is left in the cohort: {_told(flow)}.",
            remedy="A stay needs 15 to 200 hours with charted values in nurseCharting or lab.",
        )
    return Features(rows, Cohort(stays.sort("patientunitstayid"), flow))


@contextmanager
def _spool(
    batches: Iterable[pl.DataFrame], stays: int, in_memory: int, scratch: Path | None
) -> Iterator[Iterator[pl.DataFrame]]:
    """Collect events, and hand them out by buckets of stays; one bucket if they fit in memory."""
    with tempfile.TemporaryDirectory(prefix="federate-eicu-", dir=scratch) as folder:
        held: list[pl.DataFrame] = []
        spilled = 0
        for batch in batches:
            held.append(batch)
            if sum(map(len, held)) > in_memory:
                _spill(held, Path(folder), spilled)
                spilled, held = spilled + 1, []
        if not spilled:
            yield iter([pl.concat(held) if held else pl.DataFrame(schema=EVENT_SCHEMA)])
            return
        _spill(held, Path(folder), spilled)
        yield _buckets(Path(folder), stays)


def _spill(held: list[pl.DataFrame], folder: Path, number: int) -> None:
    if not held:
        return
    try:
        for (bucket,), part in (
            pl.concat(held)
            .with_columns(bucket=pl.col("stay") // STAYS_PER_BUCKET)
            .partition_by("bucket", as_dict=True, include_key=False)
            .items()
        ):
            part.write_parquet(folder / f"{bucket}-{number}.parquet", compression="lz4", statistics=False)
    except OSError as error:
        raise EicuDataError(
            f"{folder}: cannot set events down: {error}.",
            remedy="Free some space there, or set TMPDIR to a disk with more.",
        ) from error


def _buckets(folder: Path, stays: int) -> Iterator[pl.DataFrame]:
    for bucket in range(-(-stays // STAYS_PER_BUCKET)):
        parts = sorted(folder.glob(f"{bucket}-*.parquet"))
        if parts:
            yield pl.concat([pl.read_parquet(part) for part in parts])
            for part in parts:
                part.unlink()


def _told(flow: tuple[Step, ...]) -> str:
    return ", ".join(f"{step.left} after '{step.rule}'" for step in flow)
