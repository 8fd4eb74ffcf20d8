"""What a batch's labels ask for: a class, several yes-or-no labels at once, or a number. Their form says which.

- classes: LongTensor ``[B]``; the model gives a score per class ``[B, classes]``; cross-entropy;
- labels: FloatTensor ``[B, K]`` of 0 and 1; a score per label ``[B, K]``; binary cross-entropy, averaged over both;
- number: FloatTensor ``[B]``; the model gives the number ``[B, 1]``; squared error.

So a data set decides by the labels that it hands out, and neither a plug-in nor the wire needs another setting.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fl_app.errors import TrainingError


class Target(Enum):
    """What is predicted."""

    CLASSES = "classes"
    LABELS = "labels"
    NUMBER = "number"


def target_of(labels: Tensor) -> Target:
    """Return what these labels ask for; see the module's docstring.

    Raises:
        TrainingError: they have none of the three forms.
    """
    if labels.dtype == torch.int64 and labels.ndim == 1:
        return Target.CLASSES
    if labels.is_floating_point() and labels.ndim in (1, 2):
        return Target.NUMBER if labels.ndim == 1 else Target.LABELS
    raise TrainingError(
        f"The data set's labels are {labels.dtype} {list(labels.shape)}; allowed: int64 [B] for classes, "
        "floats [B, K] for K labels, floats [B] for a number.",
        remedy="Correct what the data set returns.",
    )


def loss_of(outputs: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean loss of a batch.

    Args:
        outputs: the model's scores, as the labels ask for.
        labels: their form decides the loss.
        weight: of each class ``[classes]``, or of each label's positives ``[K]``; a number has none.

    Raises:
        TrainingError: the model's outputs do not fit the labels.
    """
    target = target_of(labels)
    if target is Target.CLASSES:
        return functional.cross_entropy(outputs, labels, weight=weight)
    expected = labels.shape if target is Target.LABELS else (len(labels), 1)
    if outputs.shape != expected:
        raise TrainingError(
            f"The model returns {list(outputs.shape)} for labels that need {list(expected)}.",
            remedy="Use a model that takes its number of outputs from the data set, as the built-in one does.",
        )
    if target is Target.LABELS:
        return functional.binary_cross_entropy_with_logits(outputs, labels.to(outputs.dtype), pos_weight=weight)
    return functional.mse_loss(outputs[:, 0], labels.to(outputs.dtype))


def balanced_weights(batches: Iterable[Any], outputs: int, counts: Tensor | None = None) -> Tensor | None:
    """Return the weights that make rare outcomes count as much as frequent ones.

    Args:
        batches: of (features, labels); their labels are counted.
        outputs: the number of classes or of labels.
        counts: int64 ``[classes]``, the frequencies to use instead of the batches' own: those of the whole federation
            where its sites have reported them.

    Returns:
        For classes a weight each ``[classes]``, inverse to its frequency: ``n / (classes * n_class)``, 0 if absent. For
        labels a weight of each one's positives ``[K]``: negatives over positives, 1 without positives. None for a
        number.

    Source: King and Zeng, Political Analysis 9 (2001), section 4.2; scikit-learn's ``class_weight="balanced"``.
    """
    found = torch.zeros(outputs, dtype=torch.int64)
    total = 0
    target = Target.CLASSES
    for _, labels in batches:
        target = target_of(labels)
        if target is Target.NUMBER:
            return None
        total += len(labels)
        if target is Target.CLASSES:
            found += torch.bincount(labels, minlength=outputs)
        else:
            found += labels.sum(0).long()
    if target is Target.LABELS:
        return torch.where(found > 0, (total - found) / found.clamp(min=1).double(), 1.0).float()
    if counts is not None:
        found = counts
    weights = found.sum() / (outputs * found.clamp(min=1).double())
    return torch.where(found > 0, weights, 0.0).float()


def federation_counts(batches: Any) -> Tensor | None:
    """Return the federation's class frequencies, ``class_counts`` of the loader's data set, or None."""
    counts: Tensor | None = getattr(getattr(batches, "dataset", None), "class_counts", None)
    return counts
