"""What a results folder says is read; what it lacks is named."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fl_app.compare.table import EVERYWHERE, FEDERATED, POOLED, Row, as_json, local_name
from fl_app.tracking import results as names
from fl_app.tracking.results import UnusableResults, read_results
from fl_app.tracking.tables import comparison_table, rounds_table

from .conftest import comparison, record

Write = Callable[..., Path]


def test_rounds_sites_and_the_comparison_are_read(results_folder: Write) -> None:
    results = read_results(results_folder())
    assert [item.number for item in results.rounds] == [0, 1, 2]
    assert results.rounds[0].federated.auroc == 0.5
    assert results.rounds[0].sites["hospital-b"].auprc is None
    assert results.sites == ("hospital-a", "hospital-b")
    assert len(results.comparison) == 4 * 3
    assert results.missing == ()


def test_names_in_the_comparison_are_those_of_its_writer(results_folder: Write) -> None:
    row = Row(
        model=local_name("hospital-a"),
        tested_on=EVERYWHERE,
        samples=40,
        positives=10,
        auroc=None,
        auprc=0.3,
        loss=0.6,
        undefined="one class only",
    )
    written = as_json([row], {"federation": "eicu", "sources": {"hospital-a": "eicu"}})
    results = read_results(results_folder(comparison=written))
    read = results.find(f"{names.LOCAL_PREFIX}hospital-a", names.ALL_SITES)
    assert read is not None
    assert (read.samples, read.positives, read.undefined) == (40, 10, "one class only")
    assert (read.metrics.auroc, read.metrics.auprc, read.metrics.loss) == (None, 0.3, 0.6)
    assert (names.FEDERATED, names.POOLED) == (FEDERATED, POOLED)


@pytest.mark.parametrize(
    ("source", "synthetic", "rebuilt"),
    [
        ("eicu", False, False),
        ("synthetic", True, False),
        ("eicu demo 2.0.1 (charting and lab rebuilt)", False, True),
    ],
)
def test_the_source_says_whether_data_are_synthetic_or_rebuilt(
    results_folder: Write, source: str, synthetic: bool, rebuilt: bool
) -> None:
    results = read_results(results_folder(comparison=comparison(source)))
    assert (results.source, results.is_synthetic, results.is_rebuilt) == (source, synthetic, rebuilt)


def test_one_synthetic_site_makes_the_whole_result_synthetic(results_folder: Write) -> None:
    mixed = {**comparison(), "sources": {"hospital-a": "eicu", "hospital-b": "synthetic"}}
    results = read_results(results_folder(comparison=mixed))
    assert results.source == "eicu, synthetic"
    assert results.is_synthetic


@pytest.mark.parametrize("name", ["comparison", "model", "summary", "rounds"])
def test_each_file_that_is_missing_is_named(results_folder: Write, name: str) -> None:
    results = read_results(results_folder(**{name: None}))
    assert any(f"{name}.json" in text and "missing" in text for text in results.missing)


def test_a_source_that_nobody_stated_is_said_to_be_unknown(results_folder: Write) -> None:
    results = read_results(results_folder(comparison=comparison("not stated")))
    assert results.source is None
    assert "No file says where the data come from." in results.missing


def test_a_round_that_was_run_again_counts_once(results_folder: Write) -> None:
    results = read_results(results_folder(rounds=[record(0), record(1, auroc=0.1), record(1, auroc=0.9)]))
    assert [item.federated.auroc for item in results.rounds] == [0.7, 0.9]


def test_a_last_line_that_was_cut_off_is_left_out_and_said(results_folder: Write) -> None:
    text = json.dumps(record(0)) + "\n" + json.dumps(record(1))[:40]
    results = read_results(results_folder(rounds=text))
    assert len(results.rounds) == 1
    assert any("last line of rounds.jsonl is incomplete" in text for text in results.missing)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"rounds": "{}\n"}, r"rounds\.jsonl:1 is not a round's record"),
        ({"rounds": json.dumps(record(0)) + "\nnothing\n"}, r"rounds\.jsonl:2 is not a round's record"),
        ({"comparison": "[]"}, "comparison.json holds list"),
        ({"comparison": {"rows": [{"model": "pooled"}]}}, "comparison.json: a row is not"),
        ({"model": "{"}, "model.json cannot be read"),
        ({"rounds": None, "comparison": None}, "holds no results"),
    ],
)
def test_what_cannot_be_used_is_an_error_that_says_where(results_folder: Write, files: dict, words: str) -> None:
    with pytest.raises(UnusableResults, match=words):
        read_results(results_folder(**files))


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnusableResults, match="is not a folder"):
        read_results(tmp_path / "nowhere")


def test_the_rounds_as_a_table_have_a_row_per_round_and_place(results_folder: Write) -> None:
    rows = list(csv.DictReader(io.StringIO(rounds_table(read_results(results_folder())))))
    assert [(row["round"], row["place"]) for row in rows[:4]] == [
        ("0", "federated"),
        ("0", "hospital-a"),
        ("0", "hospital-b"),
        ("1", "federated"),
    ]
    assert rows[0] | {"loss": "0.6", "auroc": "0.5", "seconds": "0.5", "answered": "2"} == rows[0]
    assert rows[2]["auprc"] == ""
    assert {row["source"] for row in rows} == {"synthetic"}


def test_the_comparison_as_a_table_says_where_the_data_come_from(results_folder: Write) -> None:
    rows = list(csv.DictReader(io.StringIO(comparison_table(read_results(results_folder())))))
    assert len(rows) == 4 * 3
    assert rows[0]["positives"] == "10"
    assert {row["source"] for row in rows} == {"synthetic"}
