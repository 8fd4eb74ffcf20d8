"""Records: the metrics of a round's model come with the next round's answers, and means are weighted by samples."""

from __future__ import annotations

from collections import OrderedDict

import pytest

from fl_app.plugins import Update
from fl_app.rounds.book import RoundBook, Rules
from fl_app.rounds.records import evaluated_record, opened_record, weighted_mean

UPDATES = [Update("a", 30, OrderedDict()), Update("b", 10, OrderedDict())]
FITS: dict[str, dict[str, float]] = {
    "a": {"train_loss": 1.0, "fit_seconds": 0.5},
    "b": {"train_loss": 2.0, "fit_seconds": 0.1},
}


def book(round_: int, rounds: int) -> RoundBook:
    found = RoundBook(Rules(rounds), "run", ("a", "b"), round_=round_)
    for site, fitted in FITS.items():
        found.answered(site, fitted, 0.0)
    return found


def test_the_federated_metrics_are_means_weighted_by_samples() -> None:
    opened = opened_record(book(4, 10), 1.5, UPDATES, {"b": {"outlier": True}})
    found = evaluated_record(
        opened,
        {
            "a": {"test_samples": 20, "test_loss": 0.4, "auroc": 0.8, "auprc": 0.5},
            "b": {"test_samples": 60, "test_loss": 0.8, "auroc": 0.6, "auprc": None},
        },
    )

    assert (found["round"], found["rounds"], found["answered"]) == (4, 10, ["a", "b"])
    assert found["federated"]["train_loss"] == pytest.approx((30 * 1.0 + 10 * 2.0) / 40)
    assert found["federated"]["test_loss"] == pytest.approx((20 * 0.4 + 60 * 0.8) / 80)
    assert found["federated"]["auroc"] == pytest.approx((20 * 0.8 + 60 * 0.6) / 80)
    assert found["federated"]["auprc"] == 0.5  # of the only site where it is defined
    assert found["sites"][0] == {
        "site": "a",
        "samples": 30,
        "train_loss": 1.0,
        "test_samples": 20,
        "test_loss": 0.4,
        "auroc": 0.8,
        "auprc": 0.5,
        "fit_seconds": 0.5,
    }
    assert found["sites"][1]["outlier"] is True


def test_a_site_that_fitted_and_did_not_come_back_has_no_evaluation_and_one_that_came_late_has_no_fit() -> None:
    found = evaluated_record(opened_record(book(0, 1), 1.0, UPDATES, {}), {"c": {"test_samples": 5, "auroc": 0.7}})
    assert [site["site"] for site in found["sites"]] == ["a", "b", "c"]
    assert found["sites"][0]["auroc"] is None
    assert found["sites"][2]["samples"] == 0
    assert found["federated"]["auroc"] == pytest.approx(0.7)


def test_the_mean_of_nothing_is_none() -> None:
    assert weighted_mean([{"x": None, "n": 3}, {"x": 1.0, "n": 0}], "x", "n") is None
