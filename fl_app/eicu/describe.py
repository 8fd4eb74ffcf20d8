"""What is in a release, or in a dealt one: the cohort's flow; each hospital's stays, outcomes and missing values.

All of it is of the benchmark's rows, part by part, so that a full release takes no more memory than its preparation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import polars as pl
from matplotlib.figure import Figure

from fl_app.eicu.clinical import FILLED, SUFFIX
from fl_app.eicu.cohort import Step, read_patients
from fl_app.eicu.deal import DEAL_FILE
from fl_app.eicu.errors import EicuDataError
from fl_app.eicu.features import Variant, feature_parts, with_rows
from fl_app.eicu.hourly import hourly_rows, keep_usual_lengths, with_patients
from fl_app.eicu.source import source_of
from fl_app.eicu.tables import Tables
from fl_app.eicu.tasks import BALANCED_BY

_WHOLE = "all"


@dataclass(frozen=True, slots=True)
class Description:
    """A release in figures.

    ``flow``: (site, rule, removed, left). ``hospitals``: (site, hospitalid, stays in the table, stays in the cohort,
    stays of the 48-hour task, deaths among those, their share, share of the cohort's hourly values that were not
    charted). ``missing``: (site, variable, share of hourly rows without a charted value). A share of nothing is null. A
    release that is not dealt has the one site ``all``.
    """

    source: str
    flow: pl.DataFrame
    hospitals: pl.DataFrame
    missing: pl.DataFrame


def describe(folder: Path) -> Description:
    """Describe a release, or each site of a dealt one.

    Raises:
        EicuDataError: the data cannot be used.
    """
    sites = {_WHOLE: folder}
    if (folder / DEAL_FILE).is_file():
        sites = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}
    parts = [_describe(site, Tables(path)) for site, path in sites.items()]
    return Description(
        source_of(next(iter(sites.values()))), *(pl.concat(frames) for frames in zip(*parts, strict=True))
    )


def write(description: Description, out: Path) -> list[Path]:
    """Write the three tables as CSV, and ``figure.png``.

    Raises:
        EicuDataError: ``out`` cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        written = []
        for name in ("flow", "hospitals", "missing"):
            written.append(out / f"{name}.csv")
            getattr(description, name).write_csv(written[-1])
        written.append(out / "figure.png")
        figure(description).savefig(written[-1], dpi=120)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise EicuDataError(f"{out}: cannot be written: {error}.", remedy="Give another --out.") from error
    return written


def as_text(description: Description) -> str:
    """Return the description for a terminal: flow, sites, missing values."""
    by_site = description.hospitals.group_by("site", maintain_order=True).agg(
        pl.len().alias("hospitals"), pl.col("stays", "cohort", "task", "deaths").sum()
    )
    shares = description.missing.group_by("site").agg(pl.col("share").mean().alias("missing"))
    by_site = (
        by_site.with_columns(death_rate=_rate())
        .join(shares, on="site", how="left", maintain_order="left")
        .with_columns(pl.col("death_rate", "missing").round(3))
    )
    sections = [
        ("Cohort flow (stays)", description.flow),
        ("Sites (task: mortality from the first 48 hours)", by_site),
        ("Hourly rows without a charted value", description.missing.with_columns(pl.col("share").round(3))),
    ]
    text = "\n\n".join(f"{title}\n{_columns(frame.columns, frame.rows())}" for title, frame in sections)
    return f"Source: {description.source}\n\n{text}"


def as_dict(description: Description) -> dict[str, Any]:
    """Return the description for a script: the source, and a list of rows per table."""
    tables = {name: getattr(description, name).to_dicts() for name in ("flow", "hospitals", "missing")}
    return {"source": description.source, **tables}


def figure(description: Description) -> Figure:
    """Draw the flow, the hospitals and what is missing, side by side."""
    with mpl.rc_context({"font.size": 8}):
        drawing = Figure(figsize=(13, 4.2), layout="constrained")
        flow, hospitals, missing = drawing.subplots(1, 3)
        steps = description.flow.group_by("rule", maintain_order=True).agg(pl.col("left").sum())
        flow.barh(steps["rule"].to_list(), steps["left"].to_list(), color="#4477aa")
        flow.invert_yaxis()
        flow.set(title="Stays left after each rule", xlabel="unit stays")
        for site, rows in description.hospitals.filter(pl.col("task") > 0).group_by("site", maintain_order=True):
            rate = (rows["deaths"] / rows["task"] * 100).to_list()
            hospitals.scatter(rows["task"].to_list(), rate, s=14, alpha=0.7, label=str(site[0]))
        hospitals.set(title="Hospitals", xlabel="stays of the task", ylabel="died in hospital, %")
        hospitals.legend()
        shares = description.missing.group_by("variable", maintain_order=True).agg(pl.col("share").mean())
        missing.barh(shares["variable"].to_list(), (shares["share"] * 100).to_list(), color="#cc6677")
        missing.invert_yaxis()
        missing.set(title="Not charted in the hour", xlabel="% of hourly rows", xlim=(0, 100))
        drawing.suptitle(f"eICU, source: {description.source}")
    return drawing


def _describe(site: str, tables: Tables) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    cohort, parts = feature_parts(tables, _GAPS)
    stays, gaps = [], []
    for part in parts:
        stays.append(part["patientunitstayid"].unique())
        gaps.append(part.group_by("hospitalid").agg(pl.len().alias("rows"), pl.col(FILLED).sum()))
    cohort = with_rows(tables, cohort, pl.concat(stays))
    counted = cohort.stays.group_by("hospitalid").agg(
        pl.len().alias("cohort"),
        BALANCED_BY.admits().sum().alias("task"),
        (BALANCED_BY.admits() & (BALANCED_BY.label() == 1)).sum().alias("deaths"),
    )
    everyone = read_patients(tables).group_by("hospitalid").agg(pl.len().alias("stays"))
    by_hospital = pl.concat(gaps).group_by("hospitalid").sum()
    missing = pl.sum_horizontal(*FILLED) / (pl.col("rows") * len(FILLED))
    hospitals = (
        everyone.join(counted, on="hospitalid", how="left")
        .fill_null(0)
        .with_columns(death_rate=_rate())
        .join(by_hospital.select("hospitalid", missing=missing), on="hospitalid", how="left")
        .sort("hospitalid")
    )
    shares = by_hospital.select(pl.col(FILLED).sum() / pl.col("rows").sum())
    by_variable = shares.transpose(include_header=True, header_name="variable", column_names=["share"])
    return (
        _flow(site, cohort.flow),
        hospitals.select(pl.lit(site).alias("site"), pl.all()),
        by_variable.select(pl.lit(site).alias("site"), pl.col("variable").str.strip_suffix(SUFFIX), "share"),
    )


def _gaps(events: pl.DataFrame, stays: pl.DataFrame) -> pl.DataFrame:
    """Return, for each of the benchmark's hourly rows, which values it has to make up."""
    rows = with_patients(keep_usual_lengths(hourly_rows(events)), stays)
    gaps = [pl.col(name.removesuffix(SUFFIX)).is_null().cast(pl.Float64).alias(name) for name in FILLED]
    return rows.select("patientunitstayid", "hour", "hospitalid", *gaps)


_GAPS = Variant(_gaps, FILLED)


def _rate() -> pl.Expr:
    return pl.when(pl.col("task") > 0).then(pl.col("deaths") / pl.col("task"))


def _flow(site: str, steps: Sequence[Step]) -> pl.DataFrame:
    return pl.DataFrame([{"site": site} | asdict(step) for step in steps])


def _columns(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    table = [list(names), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(names))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table)
