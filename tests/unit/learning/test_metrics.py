"""AUROC and AUPRC agree with scikit-learn, ties and all; undefined is None with the reason, never a number."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score
from torch import nn

from fl_app.learning.metrics import areas, auroc, average_precision, evaluate


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=60))
def test_areas_are_scikit_learn_s(samples: list[tuple[int, bool]]) -> None:
    scores = torch.tensor([float(score) for score, _ in samples])
    positive = torch.tensor([truth for _, truth in samples])
    if positive.all() or not positive.any():
        assert auroc(scores, positive) is average_precision(scores, positive) is None
        return
    assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive.numpy(), scores.numpy()))
    assert average_precision(scores, positive) == pytest.approx(
        average_precision_score(positive.numpy(), scores.numpy())
    )


def test_a_perfect_order_is_1_and_a_reversed_one_is_0() -> None:
    truth = torch.tensor([False, False, True])
    assert auroc(torch.tensor([1.0, 2.0, 3.0]), truth) == 1.0
    assert auroc(torch.tensor([3.0, 2.0, 1.0]), truth) == 0.0
    assert auroc(torch.tensor([1.0, 1.0, 1.0]), truth) == 0.5


def test_with_several_classes_each_stands_against_the_rest() -> None:
    draw = torch.Generator().manual_seed(1)
    logits = torch.randn(200, 3, generator=draw, dtype=torch.float64)
    labels = torch.randint(0, 3, (200,), generator=draw)
    expected = roc_auc_score(labels.numpy(), logits.softmax(1).numpy(), multi_class="ovr", average="macro")
    assert areas(logits, labels)[0] == pytest.approx(expected)


class Given(nn.Module):
    """Hands the logits through."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def test_the_loss_is_the_weighted_cross_entropy_over_all_batches() -> None:
    draw = torch.Generator().manual_seed(2)
    logits, labels = torch.randn(50, 2, generator=draw), torch.randint(0, 2, (50,), generator=draw)
    batches = [(logits[:7], labels[:7]), (logits[7:], labels[7:])]
    weights = torch.tensor([0.5, 3.0])

    found = evaluate(Given(), batches, class_weights=weights, device="cpu")

    likelihood = logits.double().softmax(1).numpy()
    expected = log_loss(labels.numpy(), likelihood, sample_weight=weights[labels].double().numpy())
    assert found.samples == 50
    assert found.loss == pytest.approx(expected)


def test_one_class_or_no_samples_is_undefined_with_the_reason() -> None:
    one_class = evaluate(
        Given(), [(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long))], class_weights=None, device="cpu"
    )
    assert (one_class.samples, one_class.auroc, one_class.auprc) == (3, None, None)
    assert one_class.loss == pytest.approx(math.log(2))
    assert one_class.undefined == "the 3 held-out samples do not have every class"

    empty = evaluate(Given(), [], class_weights=None, device="cpu")
    assert (empty.samples, empty.loss, empty.undefined) == (0, None, "there are no held-out samples")
