"""Raw tables to hourly features: the whole way, within bounded memory.

Stays do not depend on one another, so events beyond what fits are set down on disk by stay, bucket by bucket, and each
bucket is reduced by itself.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import polars as pl

from fl_app.eicu import hourly
from fl_app.eicu.clinical import FILLED, TYPICAL, clinical_rows
from fl_app.eicu.cohort import Cohort, Step, read_patients, select_cohort
from fl_app.eicu.errors import EicuDataError, EmptyTable
from fl_app.eicu.events import EVENT_SCHEMA, read_events
from fl_app.eicu.representation import BENCHMARK, Layout
from fl_app.eicu.tables import Tables

STAYS_PER_BUCKET = 10_000
EVENTS_IN_MEMORY = 4_000_000
_WORKERS = 2  # buckets reduced at a time: one's sort and another's sums; more would only hold more in memory


@dataclass(frozen=True, slots=True)
class Features:
    """The hourly rows of a cohort, and the cohort with every rule counted.

    ``rows`` is (patientunitstayid, hour, hospitalid, the 20 variables, the variant's indicators), complete, sorted by
    stay and hour. ``cohort.stays`` holds the stays that have rows.
    """

    rows: pl.DataFrame
    cohort: Cohort


@dataclass(frozen=True, slots=True)
class Variant:
    """A way from events to features.

    ``reduce(events, stays)`` returns :attr:`Features.rows`; ``indicators`` are its columns beyond the 20 variables, and
    ``layout`` the sizes of its samples.
    """

    reduce: Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]
    indicators: tuple[str, ...]

    @property
    def layout(self) -> Layout:
        """Return the sizes of a sample."""
        return replace(BENCHMARK, numbers=BENCHMARK.numbers + len(self.indicators))

    def filled_with(self, medians: Mapping[str, float]) -> Variant:
        """Return the variant with these values for what was never measured; the benchmark's are its constants."""
        if not medians or not self.indicators:
            return self
        return replace(self, reduce=partial(clinical_rows, typical={**TYPICAL, **medians}))


def benchmark_rows(events: pl.DataFrame, stays: pl.DataFrame) -> pl.DataFrame:
    """Return the benchmark variant's features of these events; see :mod:`fl_app.eicu.hourly` for every rule."""
    rows = hourly.keep_usual_lengths(hourly.hourly_rows(events))
    return hourly.impute_and_clip(hourly.with_patients(rows, stays))


VARIANTS = {"benchmark": Variant(benchmark_rows, ()), "clinical": Variant(clinical_rows, FILLED)}


def hourly_features(
    tables: Tables,
    variant: str = "benchmark",
    *,
    medians: Mapping[str, float] = MappingProxyType({}),
    in_memory: int = EVENTS_IN_MEMORY,
    scratch: Path | None = None,
) -> Features:
    """Read a release and reduce it to hourly features, all in memory; see :func:`feature_parts`.

    Raises:
        EicuDataError: see :func:`feature_parts`; or nobody is left in the cohort.
    """
    cohort, parts = feature_parts(tables, variant, medians=medians, in_memory=in_memory, scratch=scratch)
    rows = pl.concat(parts)
    return Features(rows, with_rows(tables, cohort, rows["patientunitstayid"].unique()))


def feature_parts(
    tables: Tables,
    variant: str | Variant,
    *,
    medians: Mapping[str, float] = MappingProxyType({}),
    in_memory: int = EVENTS_IN_MEMORY,
    scratch: Path | None = None,
) -> tuple[Cohort, Iterator[pl.DataFrame]]:
    """Read a release and reduce it to hourly features part by part.

    Args:
        tables: the release; ``patient``, ``lab`` and ``nurseCharting`` are read.
        variant: a key of :data:`VARIANTS`, or a variant of the caller's own.
        medians: by variable, what the clinical variant takes for what was never measured; else its own constants.
        in_memory: how many events may be held before they go to disk.
        scratch: where to; the system's temporary folder if left out.

    Returns:
        The cohort by the patient table's rules, and its rows in parts of whole stays; in order over all parts.

    Raises:
        EicuDataError: a table is missing or broken, nobody is left in the cohort, or the disk is full.
    """
    cohort = select_cohort(read_patients(tables))
    if cohort.stays.is_empty():
        raise _nobody(tables, cohort.flow)
    chosen = VARIANTS[variant] if isinstance(variant, str) else variant
    return cohort, _parts(tables, cohort.stays, chosen.filled_with(medians), in_memory, scratch)


def with_rows(tables: Tables, cohort: Cohort, stays: pl.Series) -> Cohort:
    """Return the cohort with its last rule, that a stay has 15 to 200 hourly rows.

    Raises:
        EmptyTable: nobody is left.
    """
    kept = cohort.stays.filter(pl.col("patientunitstayid").is_in(stays.implode()))
    last = Step("15 to 200 hourly rows", cohort.stays.height - kept.height, kept.height)
    if kept.is_empty():
        raise _nobody(tables, (*cohort.flow, last))
    return Cohort(kept, (*cohort.flow, last))


def _parts(
    tables: Tables, stays: pl.DataFrame, variant: Variant, in_memory: int, scratch: Path | None
) -> Iterator[pl.DataFrame]:
    with (
        _spool(read_events(tables, stays), stays.height, in_memory, scratch) as buckets,
        ThreadPoolExecutor(_WORKERS) as pool,
    ):
        ahead: deque[Future[pl.DataFrame]] = deque()
        for events in buckets:
            ahead.append(pool.submit(variant.reduce, events, stays))
            if len(ahead) == _WORKERS:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _nobody(tables: Tables, flow: tuple[Step, ...]) -> EmptyTable:
    told = ", ".join(f"{step.left} after '{step.rule}'" for step in flow)
    return EmptyTable(
        f"{tables.folder}: no stay is left in the cohort: {told}.",
        remedy="A stay needs a known age, gender and outcome, and 15 to 200 hours with charted values.",
    )


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
    except (OSError, pl.exceptions.PolarsError) as error:
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
