"""What labels ask for by their form, the losses that follow, and the weights of rare outcomes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from fl_app.config import Training
from fl_app.errors import TrainingError
from fl_app.learning.fit import fit
from fl_app.learning.models import LogisticRegression
from fl_app.learning.targets import Target, balanced_weights, federation_counts, loss_of, target_of

TRAINING = Training(1, 200, 50, 0.1, "adam", 0.0, "none", 0)


@pytest.mark.parametrize(
    ("labels", "target"),
    [
        (torch.tensor([0, 1]), Target.CLASSES),
        (torch.tensor([[0.0, 1.0]]), Target.LABELS),
        (torch.tensor([0.5]), Target.NUMBER),
    ],
)
def test_the_form_of_the_labels_says_what_is_predicted(labels: torch.Tensor, target: Target) -> None:
    assert target_of(labels) is target


@pytest.mark.parametrize("labels", [torch.tensor([[0, 1]]), torch.tensor([True]), torch.zeros(2, 2, 2)])
def test_labels_of_no_known_form_are_refused_with_the_allowed_ones(labels: torch.Tensor) -> None:
    with pytest.raises(TrainingError, match="allowed: int64"):
        target_of(labels)


def test_the_loss_of_classes_is_torch_s_cross_entropy_to_the_bit() -> None:
    draw = torch.Generator().manual_seed(0)
    outputs, labels = torch.randn(9, 2, generator=draw), torch.randint(0, 2, (9,), generator=draw)
    weight = torch.tensor([0.3, 2.0])
    assert torch.equal(loss_of(outputs, labels, weight), nn.functional.cross_entropy(outputs, labels, weight=weight))


def test_the_loss_of_labels_weighs_each_label_s_positives() -> None:
    # at score 0 every likelihood is 1/2, so each term is log 2, the one positive three times
    loss = loss_of(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.tensor([3.0, 7.0]))
    assert loss.item() == pytest.approx((3 + 1) / 2 * math.log(2))


def test_the_loss_of_a_number_is_the_squared_error() -> None:
    assert loss_of(torch.tensor([[1.0], [3.0]]), torch.tensor([2.0, 5.0])).item() == pytest.approx((1 + 4) / 2)


@pytest.mark.parametrize("labels", [torch.zeros(4), torch.zeros(4, 3)])
def test_a_model_with_another_number_of_outputs_is_refused_and_not_broadcast(labels: torch.Tensor) -> None:
    with pytest.raises(TrainingError, match=r"returns \[4, 2\]"):
        loss_of(torch.zeros(4, 2), labels)


def test_balanced_weights_are_inverse_to_the_frequency() -> None:
    batches = [(None, torch.tensor([0, 0, 0])), (None, torch.tensor([1]))]
    assert balanced_weights(batches, 2).tolist() == pytest.approx([4 / (2 * 3), 4 / (2 * 1)])
    assert balanced_weights([(None, torch.tensor([0, 0]))], 2).tolist() == [0.5, 0.0]


def test_the_federation_s_counts_replace_the_site_s_own() -> None:
    data = TensorDataset(torch.zeros(4), torch.tensor([0, 0, 0, 1]))
    loader = DataLoader(data, batch_size=2)
    assert federation_counts(loader) is None
    data.class_counts = torch.tensor([60, 20])
    counts = federation_counts(loader)
    assert balanced_weights(loader, 2, counts).tolist() == pytest.approx([80 / 120, 80 / 40])


def test_a_label_s_positives_weigh_as_much_as_its_negatives_and_a_number_has_no_weights() -> None:
    batches = [(None, torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))]
    assert balanced_weights(batches, 2).tolist() == [3.0, 1.0]
    assert balanced_weights([(None, torch.tensor([1.5]))], 1) is None


def fitted(labels: torch.Tensor, outputs: int) -> LogisticRegression:
    points = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    model = LogisticRegression(2, outputs)
    loader = DataLoader(TensorDataset(points, labels(points)), batch_size=50)
    fit(model, loader, replace(TRAINING), seed=0, class_weights=None, device="cpu")
    return model


def test_the_linear_model_fits_a_number() -> None:
    model = fitted(lambda points: 2 * points[:, 0] - points[:, 1] + 3, 1)
    assert model.weight.flatten().tolist() == pytest.approx([2, -1], abs=0.02)
    assert model.bias.item() == pytest.approx(3, abs=0.02)


def test_the_linear_model_fits_several_labels_at_once() -> None:
    model = fitted(lambda points: torch.stack([points[:, 0] > 0, points[:, 1] < 0], 1).float(), 2)
    assert model.weight[0, 0] > 5 * model.weight[0, 1].abs()
    assert model.weight[1, 1] < -5 * model.weight[1, 0].abs()
