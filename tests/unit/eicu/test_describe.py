"""A release described: counts that add up, per site where it is dealt, as tables and a figure."""

from pathlib import Path

import polars as pl
import pytest

from fl_app.eicu.cohort import read_patients, select_cohort
from fl_app.eicu.describe import as_text, describe, write
from fl_app.eicu.events import read_events
from fl_app.eicu.features import hourly_features
from fl_app.eicu.hourly import hourly_rows, keep_usual_lengths
from fl_app.eicu.tables import Tables
from fl_app.eicu.variables import CHARTED


def test_a_release_s_counts_add_up(synthetic: Path) -> None:
    found = describe(synthetic)
    assert found.source == "synthetic"
    assert found.flow["left"][0] == found.hospitals["stays"].sum() == 600
    assert found.flow["left"][-1] == found.hospitals["cohort"].sum()
    assert found.flow["left"].to_list()[1:] == [
        before - removed
        for before, removed in zip(found.flow["left"].to_list(), found.flow["removed"].to_list()[1:], strict=False)
    ]
    assert (found.hospitals["deaths"] <= found.hospitals["task"]).all()
    with_stays = found.hospitals.filter(pl.col("task") > 0)
    assert (with_stays["death_rate"] * with_stays["task"] - with_stays["deaths"]).abs().max() < 1e-9
    assert found.hospitals.filter(pl.col("task") == 0)["death_rate"].drop_nulls().is_empty()
    assert found.hospitals.filter(pl.col("cohort") > 0)["missing"].is_between(0.01, 0.99).all()
    assert found.missing["share"].is_between(0, 1).all()


def test_it_describes_the_benchmark_s_rows_with_the_cohort_that_prepare_has(synthetic: Path) -> None:
    found, rows = describe(synthetic), hourly_features(Tables(synthetic)).rows
    assert found.flow["left"][-1] == rows["patientunitstayid"].n_unique()
    cohort = select_cohort(read_patients(Tables(synthetic))).stays
    before = keep_usual_lengths(hourly_rows(pl.concat(read_events(Tables(synthetic), cohort))))
    shares = dict(found.missing.select("variable", "share").iter_rows())
    for name in (variable.name for variable in CHARTED):
        assert shares[name] == pytest.approx(before[name].null_count() / before.height)
    everywhere = found.hospitals.select((pl.col("missing") * pl.col("cohort")).sum() / pl.col("cohort").sum()).item()
    assert everywhere == pytest.approx(found.missing["share"].mean(), abs=0.02)


def test_a_dealt_release_is_described_by_site_and_the_sites_make_the_whole(synthetic: Path, dealt: Path) -> None:
    whole, parts = describe(synthetic), describe(dealt)
    assert parts.source == "synthetic"
    assert parts.hospitals["site"].unique().sort().to_list() == ["hospital-a", "hospital-b"]
    columns = ["hospitalid", "stays", "cohort", "task", "deaths"]
    assert parts.hospitals.select(columns).sort("hospitalid").equals(whole.hospitals.select(columns))


def test_tables_and_a_figure_are_written(dealt: Path, tmp_path: Path) -> None:
    found = describe(dealt)
    written = write(found, tmp_path / "out")
    assert [path.name for path in written] == ["flow.csv", "hospitals.csv", "missing.csv", "figure.png"]
    assert pl.read_csv(written[0]).equals(found.flow)
    assert written[-1].read_bytes().startswith(b"\x89PNG")
    assert "Source: synthetic" in as_text(found)
