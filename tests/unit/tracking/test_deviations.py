"""The report names a site whose updates stand out in most rounds, or were refused; else it says nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fl_app.tracking.deviations import findings
from fl_app.tracking.report import render
from fl_app.tracking.results import read_results

Write = Callable[..., Path]
SITES = ("hospital-a", "hospital-b", "hospital-c")


def rounds(standing_out: int, of: int = 50, **more: Any) -> list[dict[str, Any]]:
    """Return records in which hospital-c's update is ten times as long as the others' and points against them."""
    return [
        {
            "round": number,
            "rounds": of,
            "seconds": 0.1,
            "answered": list(SITES),
            "sites": [
                {
                    "site": site,
                    "update_norm": 20.0 if site == "hospital-c" else 2.0,
                    "cosine": -0.9 if site == "hospital-c" else 0.4,
                    "outlier": site == "hospital-c" and number < standing_out,
                }
                for site in SITES
            ],
            "federated": {"auroc": 0.7},
            **more,
        }
        for number in range(of)
    ]


def test_a_site_that_stands_out_in_most_rounds_is_named_with_how_and_what_to_do(results_folder: Write) -> None:
    results = read_results(results_folder(rounds=rounds(49), comparison=None))
    assert findings(results) == [
        "hospital-c’s updates stand out in 49 of 50 rounds: they are 10 times as long as the others’ and they point "
        "against them (cosine -0.90). Look at the site’s data and settings; consider a robust aggregation "
        "(trimmed_mean, median)."
    ]
    assert "hospital-c’s updates stand out in 49 of 50 rounds" in render(results, "Title")


@pytest.mark.parametrize("standing_out", [0, 1, 25])
def test_half_of_the_rounds_or_fewer_are_no_finding(results_folder: Write, standing_out: int) -> None:
    results = read_results(results_folder(rounds=rounds(standing_out), comparison=None))
    assert findings(results) == []
    assert "stand out" not in render(results, "Title")


def test_only_rounds_that_the_site_answered_count(results_folder: Write) -> None:
    records = rounds(10)
    for record in records[15:]:
        record["sites"] = [site for site in record["sites"] if site["site"] != "hospital-c"]
    assert "in 10 of 15 rounds" in findings(read_results(results_folder(rounds=records, comparison=None)))[0]


def test_under_a_robust_aggregation_none_is_recommended(results_folder: Write) -> None:
    model = {"federation": "eicu", "model": "m", "aggregation": {"name": "median", "options": {}}}
    (found,) = findings(read_results(results_folder(rounds=rounds(50), comparison=None, model=model)))
    assert found.endswith("The aggregation median bounds what a single site can do.")


def test_records_without_comparisons_say_nothing(results_folder: Write) -> None:
    assert findings(read_results(results_folder())) == []


def test_a_site_whose_updates_were_refused_is_named_with_the_reason(results_folder: Write) -> None:
    records = rounds(0, of=3, refused={"hospital-b": "weight holds <NaN> or infinity"})
    page = render(read_results(results_folder(rounds=records, comparison=None)), "Title")
    assert "hospital-b’s update was refused in 3 rounds, the last time because weight holds &lt;NaN&gt;" in page
