"""Decisions at a threshold, calibration, and errors of numbers: against arithmetic and scikit-learn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, confusion_matrix, mean_absolute_error, r2_score
from torch import nn

from fl_app.learning.metrics import evaluate
from fl_app.learning.scores import at_threshold, calibration, of_numbers


def test_decisions_at_a_threshold_by_hand() -> None:
    likelihood = torch.tensor([0.1, 0.3, 0.3, 0.6, 0.9], dtype=torch.float64)
    positive = torch.tensor([False, True, False, False, True])
    assert at_threshold(likelihood, positive, 0.3) == {
        "threshold": 0.3, "sensitivity": 1.0, "specificity": 1 / 3, "ppv": 2 / 4, "npv": 1.0,
    }  # fmt: skip


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40), st.floats(0, 1))
def test_decisions_are_those_of_the_confusion_matrix(samples: list[tuple[float, bool]], threshold: float) -> None:
    likelihood = torch.tensor([score for score, _ in samples], dtype=torch.float64)
    positive = torch.tensor([truth for _, truth in samples])
    (tn, fp), (fn, tp) = confusion_matrix(positive.numpy(), (likelihood >= threshold).numpy(), labels=[False, True])
    found = at_threshold(likelihood, positive, threshold)
    for name, part, whole in (
        ("sensitivity", tp, tp + fn), ("specificity", tn, tn + fp), ("ppv", tp, tp + fp), ("npv", tn, tn + fn),
    ):  # fmt: skip
        assert found[name] == (pytest.approx(part / whole) if whole else None)


def test_calibration_is_scikit_learn_s_and_a_shifted_model_shows_it() -> None:
    draw = torch.Generator().manual_seed(3)
    true_logit = torch.randn(4000, generator=draw, dtype=torch.float64)
    positive = torch.rand(4000, generator=draw, dtype=torch.float64) < true_logit.sigmoid()
    said = 2 * true_logit + 1  # too extreme by 2, too high by 1: the cure is slope 1/2 and intercept -1/2
    found = calibration(said, positive)
    again = LogisticRegression(C=1e10, tol=1e-10).fit(said.numpy()[:, None], positive.numpy())
    assert found["calibration_slope"] == pytest.approx(again.coef_[0, 0], rel=1e-4) == pytest.approx(0.5, abs=0.05)
    assert found["calibration_intercept"] == pytest.approx(again.intercept_[0], abs=1e-4)
    assert found["brier"] == pytest.approx(brier_score_loss(positive.numpy(), said.sigmoid().numpy()))
    true = calibration(true_logit, positive)
    assert true["calibration_error"] < 0.03 < found["calibration_error"]


def test_the_gap_of_the_bins_by_hand() -> None:
    logit = torch.logit(torch.tensor([0.25, 0.25, 0.95], dtype=torch.float64))
    found = calibration(logit, torch.tensor([True, False, True]))
    assert found["calibration_error"] == pytest.approx((2 * 0.25 + 0.05) / 3)


@pytest.mark.parametrize(
    ("logit", "positive"),
    [([0.0, 1.0], [True, True]), ([1.0, 1.0], [True, False]), ([-2.0, -1.0, 1.0, 2.0], [False, False, True, True])],
)
def test_recalibration_is_undefined_where_nothing_or_everything_is_separated(logit, positive) -> None:
    found = calibration(torch.tensor(logit, dtype=torch.float64), torch.tensor(positive))
    assert found["calibration_slope"] is found["calibration_intercept"] is None


@given(st.lists(st.tuples(st.floats(-9, 9), st.integers(-9, 9)), min_size=2, max_size=30))
def test_errors_of_numbers_are_scikit_learn_s(samples: list[tuple[float, int]]) -> None:
    found = torch.tensor([guess for guess, _ in samples], dtype=torch.float64)
    truth = torch.tensor([float(value) for _, value in samples], dtype=torch.float64)
    scores = of_numbers(found, truth)
    assert scores["mae"] == pytest.approx(mean_absolute_error(truth, found))
    spread = truth.min() != truth.max()
    assert scores["r2"] == (pytest.approx(r2_score(truth, found), rel=1e-6, abs=1e-6) if spread else None)


class Given(nn.Module):
    """Hands the scores through."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def test_two_classes_have_details_at_the_asked_threshold() -> None:
    logits = torch.tensor([[0.0, -1.0], [0.0, 1.0], [0.0, 2.0]])
    found = evaluate(Given(), [(logits, torch.tensor([0, 0, 1]))], class_weights=None, device="cpu", threshold=0.8)
    assert (found.details["threshold"], found.details["ppv"], found.details["specificity"]) == (0.8, 1.0, 1.0)


def test_of_several_labels_the_areas_are_means_over_those_with_both_outcomes() -> None:
    scores = torch.tensor([[1.0, 5.0, 0.0], [2.0, 4.0, 0.0]])
    labels = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    found = evaluate(Given(), [(scores, labels)], class_weights=None, device="cpu")
    assert (found.auroc, found.auprc, found.undefined) == (1.0, 1.0, None)
    assert found.details["labels_with_both_outcomes"] == 2
    assert [found.details[f"auroc_{label}"] for label in range(3)] == [1.0, 1.0, None]
    one_sided = evaluate(Given(), [(scores, labels[:, 2:].expand(2, 3))], class_weights=None, device="cpu")
    assert one_sided.auroc is None
    assert one_sided.undefined == "the 2 held-out samples do not have every class"


def test_a_number_has_errors_and_no_areas() -> None:
    found = evaluate(
        Given(), [(torch.tensor([[1.0], [3.0]]), torch.tensor([2.0, 5.0]))], class_weights=None, device="cpu"
    )
    assert (found.loss, found.details["mae"], found.auroc) == (2.5, 1.5, None)
    assert found.undefined == "a number has no areas"
