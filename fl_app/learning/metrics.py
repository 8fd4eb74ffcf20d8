"""What a model is worth on held-out data: loss, area under the ROC curve, area under precision and recall."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model on one data set. ``undefined`` says why an area is None: it needs both outcomes."""

    samples: int
    loss: float | None
    auroc: float | None
    auprc: float | None
    undefined: str | None = None


def auroc(scores: Tensor, positive: Tensor) -> float | None:
    """Return the probability that a positive scores above a negative, ties counting half; None if one is missing.

    Args:
        scores: ``[N]``, higher means more likely positive.
        positive: bool ``[N]``.

    Source: Hanley and McNeil, Radiology 143 (1982): the area equals the Mann-Whitney statistic.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return None
    _, place, size = torch.unique(scores.double(), sorted=True, return_inverse=True, return_counts=True)
    ends = size.cumsum(0).double()
    mid_rank = (ends - (size.double() - 1) / 2)[place]
    wins = float(mid_rank[positive].sum()) - positives * (positives + 1) / 2
    return wins / (positives * negatives)


def average_precision(scores: Tensor, positive: Tensor) -> float | None:
    """Return the area under precision and recall as a sum of steps, no interpolation; None without both outcomes.

    Args:
        scores: ``[N]``, higher means more likely positive.
        positive: bool ``[N]``.

    Source: Davis and Goadrich, ICML 2006, on why the curve is not interpolated linearly.
    """
    positives = int(positive.sum())
    if not positives or positives == len(positive):
        return None
    values, place = torch.unique(scores.double(), sorted=True, return_inverse=True)
    hits = torch.zeros(len(values), dtype=torch.float64).index_add_(0, place, positive.double()).flip(0)
    count = torch.bincount(place, minlength=len(values)).double().flip(0)
    precision = hits.cumsum(0) / count.cumsum(0)
    return float((precision * hits).sum() / positives)


def areas(logits: Tensor, labels: Tensor) -> tuple[float | None, float | None]:
    """Return (AUROC, AUPRC): of class 1 where there are two, else the mean over the classes, each against the rest."""
    classes = logits.shape[1]
    if classes == 2:
        scores, positive = logits[:, 1].double() - logits[:, 0].double(), labels == 1
        return auroc(scores, positive), average_precision(scores, positive)
    likelihood = logits.double().softmax(1)
    each = [
        (auroc(likelihood[:, k], labels == k), average_precision(likelihood[:, k], labels == k)) for k in range(classes)
    ]
    rocs, precisions = [roc for roc, _ in each if roc is not None], [ap for _, ap in each if ap is not None]
    if len(rocs) < classes:
        return None, None
    return sum(rocs) / classes, sum(precisions) / classes


def evaluate(model: nn.Module, batches: Iterable[Any], *, class_weights: Tensor | None, device: Any) -> Evaluation:
    """Evaluate a model on batches of (features, labels).

    Args:
        model: maps features to logits ``[B, classes]``.
        batches: the held-out data; may be empty.
        class_weights: ``[classes]`` as in training, so that losses compare; None weighs all alike.
        device: where the model is.

    Returns:
        The weighted cross-entropy and the areas; None for what an empty or one-sided data set leaves undefined.
    """
    model.eval()
    scores: list[Tensor] = []
    truths: list[Tensor] = []
    with torch.inference_mode():
        for features, labels in batches:
            scores.append(model(to_device(features, device)).cpu())
            truths.append(labels.cpu())
    if not scores or not sum(len(labels) for labels in truths):
        return Evaluation(0, None, None, None, "there are no held-out samples")
    logits, labels = torch.cat(scores), torch.cat(truths)
    weight = class_weights.cpu() if class_weights is not None else None
    loss = float(
        functional.cross_entropy(logits.double(), labels, weight=weight.double() if weight is not None else None)
    )
    roc, precision = areas(logits, labels)
    undefined = None
    if roc is None:
        undefined = f"the {len(labels)} held-out samples do not have every class"
    return Evaluation(
        len(labels), loss if loss == loss and abs(loss) != float("inf") else None, roc, precision, undefined
    )


def to_device(features: Tensor | Mapping[str, Tensor], device: Any) -> Any:
    """Return the features on a device, whichever of the two forms they have."""
    if isinstance(features, Tensor):
        return features.to(device)
    return {name: tensor.to(device) for name, tensor in features.items()}
