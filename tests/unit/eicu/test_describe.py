"""A release described: counts that add up, per site where it is dealt, as tables and a figure."""

from pathlib import Path

import polars as pl

from fl_app.eicu.describe import as_text, describe, write


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
    assert found.missing["share"].is_between(0, 1).all()


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
