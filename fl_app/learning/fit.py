"""A site's fit: some epochs over its own data, the same bits for the same seed. Labels decide the loss."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, IterableDataset

from fl_app.config import Training
from fl_app.errors import TrainingError
from fl_app.learning.metrics import to_device
from fl_app.learning.protocol import LocalRule
from fl_app.learning.targets import loss_of


def round_seed(seed: int, site: str, round_: int) -> int:
    """Return the seed of one site's fit in one round.

    It depends on nothing else, neither on earlier rounds nor on the process, so a round that is fitted again after a
    restart gives the same bits.
    """
    digest = hashlib.sha256(f"{seed}/{site}/{round_}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


def shuffled(loader: Any, seed: int) -> Any:
    """Return the loader's batches in an order that depends on the seed alone.

    A torch ``DataLoader`` over a map-style data set is re-ordered here, whatever its own shuffling was; any other
    iterable of batches is taken as it comes.
    """
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset) or loader.batch_size is None:
        return loader
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(loader.dataset), generator=generator).tolist()  # type: ignore[arg-type]
    return DataLoader(
        loader.dataset,
        batch_size=loader.batch_size,
        sampler=order,
        collate_fn=loader.collate_fn,
        drop_last=loader.drop_last,
        generator=generator,
    )


def fit(
    model: nn.Module,
    loader: Any,
    training: Training,
    *,
    seed: int,
    class_weights: Tensor | None,
    device: Any,
    check: Callable[[], None] = lambda: None,
    rule: LocalRule | None = None,
) -> float:
    """Fit a model in place.

    The optimizer starts afresh in every round, as FedAvg has it: what Adam remembers belongs to the weights that the
    site had before the aggregation.

    Args:
        model: maps features to scores.
        loader: batches of (features, labels).
        training: optimizer, learning rate, epochs.
        seed: of the order of the samples and of whatever the model draws, see :func:`round_seed`.
        class_weights: from :func:`fl_app.learning.targets.balanced_weights`, or None.
        device: where the model is.
        check: called before every batch; raises to stop.
        rule: may change the gradients of every batch; its beginning and end are the caller's.

    Returns:
        The mean loss over the samples of all epochs.

    Raises:
        TrainingError: the loss is no longer a finite number.

    Source: McMahan et al., AISTATS 2017, algorithm 1, ClientUpdate.
    """
    torch.manual_seed(seed)
    weight = class_weights.to(device) if class_weights is not None else None
    optimizer = _optimizer(model, training)
    model.train()
    total, samples = 0.0, 0
    for epoch in range(training.epochs):
        for features, labels in shuffled(loader, seed + epoch):
            check()
            optimizer.zero_grad()
            loss = loss_of(model(to_device(features, device)), labels.to(device), weight)
            loss.backward()  # type: ignore[no-untyped-call]
            if rule:
                rule.after_backward()
            optimizer.step()
            total += loss.item() * len(labels)
            samples += len(labels)
    mean = total / samples if samples else 0.0
    if mean != mean or mean in (float("inf"), float("-inf")):
        raise TrainingError(
            f"The training loss is {mean}: the fit has diverged.", remedy="Lower training.learning_rate."
        )
    return mean


def _optimizer(model: nn.Module, training: Training) -> optim.Optimizer:
    kinds = {"sgd": optim.SGD, "adam": optim.Adam, "adamw": optim.AdamW}
    make: Any = kinds[training.optimizer]
    made: optim.Optimizer = make(model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)
    return made
