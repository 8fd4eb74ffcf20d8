"""Held-out batches are put together once where they are few and stay the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from small_federation import SmallFederation, different_sites
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from fl_app.learning.held_out import Batch, HeldOut

SAMPLES, FEATURES = 5, 3
BYTES = SAMPLES * (FEATURES * 4 + 8)


class Counted(Dataset[tuple[Tensor, Tensor]]):
    """Samples, and how many were read."""

    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        self.read += 1
        return torch.full((FEATURES,), float(place)), torch.tensor(place % 2)


class Streamed(IterableDataset[tuple[Tensor, Tensor]]):
    """Other samples each time."""

    def __init__(self) -> None:
        self.read = 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(SAMPLES):
            self.read += 1
            yield torch.zeros(FEATURES), torch.tensor(0)


def look(held_out: HeldOut) -> list[Batch]:
    with torch.inference_mode():  # as an evaluation does
        return list(held_out)


@pytest.mark.parametrize("limit", [BYTES, BYTES + 1])
def test_few_samples_are_read_once_and_are_the_same_afterwards(limit: int) -> None:
    samples = Counted()
    held_out = HeldOut(DataLoader(samples, batch_size=2), limit=limit)
    first, second = look(held_out), look(held_out)
    assert samples.read == SAMPLES
    assert [label.tolist() for _, label in first] == [[0, 1], [0, 1], [0]]
    for (features, labels), (features_again, labels_again) in zip(first, second, strict=True):
        assert torch.equal(features, features_again)
        assert torch.equal(labels, labels_again)


def test_more_than_the_limit_is_read_each_time() -> None:
    samples = Counted()
    held_out = HeldOut(DataLoader(samples, batch_size=2), limit=BYTES - 1)
    assert len(look(held_out)) == len(look(held_out)) == 3
    assert samples.read == 2 * SAMPLES


def test_what_a_model_has_changed_in_place_is_read_again() -> None:
    samples = Counted()
    held_out = HeldOut(DataLoader(samples, batch_size=2))
    with torch.inference_mode():
        for features, _ in held_out:
            features.add_(1)
    again = look(held_out)
    assert [float(features[0, 0]) for features, _ in again] == [0, 2, 4]
    look(held_out)
    assert samples.read == 2 * SAMPLES


def test_what_is_changed_when_it_was_kept_already_is_read_again_as_well() -> None:
    samples = Counted()
    held_out = HeldOut(DataLoader(samples, batch_size=2))
    look(held_out)[1][0].mul_(7)
    assert [float(features[0, 0]) for features, _ in look(held_out)] == [0, 2, 4]


def test_an_evaluation_that_was_broken_off_keeps_nothing() -> None:
    samples = Counted()
    held_out = HeldOut(DataLoader(samples, batch_size=2))
    next(iter(held_out))
    assert len(look(held_out)) == 3


@pytest.mark.parametrize("kind", ["streamed", "shuffled", "list"])
def test_what_may_be_another_each_time_is_read_each_time(kind: str) -> None:
    counted, streamed, reads = Counted(), Streamed(), []

    class Anything(list[Batch]):
        def __iter__(self) -> Iterator[Batch]:
            reads.append(True)
            return super().__iter__()

    sources = {
        "streamed": DataLoader(streamed, batch_size=2),
        "shuffled": DataLoader(counted, batch_size=2, shuffle=True),
        "list": Anything([(torch.zeros(1, FEATURES), torch.zeros(1, dtype=torch.int64))]),
    }
    held_out = HeldOut(sources[kind])
    look(held_out)
    look(held_out)
    assert {"streamed": streamed.read, "shuffled": counted.read, "list": len(reads)}[kind] in (2 * SAMPLES, 2)


def test_a_site_evaluates_the_data_that_it_is_given_also_after_it_has_kept_others() -> None:
    federation = SmallFederation(different_sites(count=2), "fedavg")
    trainer = federation.trainers["site-0"]
    counted = []
    for site in ("site-0", "site-1", "site-1"):
        rows, targets = (torch.from_numpy(part) for part in federation.sites[site])
        trainer.test(DataLoader(TensorDataset(rows, targets), batch_size=8), "cpu", federation.args)
        assert trainer.evaluation
        counted.append(trainer.evaluation.samples)
    assert counted == [20, 30, 30]
