"""What a model is worth on held-out data: its loss, the areas under two curves, and what its kind of target adds."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fl_app.learning.scores import THRESHOLD, Scalars, at_threshold, calibration, of_numbers
from fl_app.learning.targets import Target, loss_of, target_of


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model on one data set; ``undefined`` says why an area is None: it needs both outcomes."""

    samples: int
    loss: float | None
    auroc: float | None
    auprc: float | None
    undefined: str | None = None
    work_out: Callable[[], Scalars] = field(default=dict, compare=False, repr=False)

    @property
    def details(self) -> Scalars:
        """Further scalars of :mod:`fl_app.learning.scores`, worked out when they are asked for: a round waits for none.

        Of two classes those at a threshold and of calibration; of several labels each one's areas, ``auroc_<label>``
        and ``auprc_<label>`` by its number; of a number its errors.
        """
        return self.work_out()


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


def evaluate(
    model: nn.Module, batches: Iterable[Any], *, class_weights: Tensor | None, device: Any, threshold: float = THRESHOLD
) -> Evaluation:
    """Evaluate a model on batches of (features, labels).

    Args:
        model: maps features to scores, as the labels ask for (:mod:`fl_app.learning.targets`).
        batches: the held-out data; may be empty.
        class_weights: as in training, so that losses compare; None weighs all alike.
        device: where the model is.
        threshold: of two classes, from which likelihood on a sample counts as positive.

    Returns:
        The loss, the areas and the details; None for what an empty or one-sided data set leaves undefined. Of several
        labels the areas are means over those that have both outcomes.
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
    outputs, labels = torch.cat(scores).double(), torch.cat(truths)
    weight = class_weights.cpu().double() if class_weights is not None else None
    mean = float(loss_of(outputs, labels, weight))
    loss = mean if math.isfinite(mean) else None
    work_out: Callable[[], Scalars]
    match target_of(labels):
        case Target.NUMBER:
            errors = functools.partial(of_numbers, outputs[:, 0], labels.double())
            return Evaluation(len(labels), loss, None, None, "a number has no areas", errors)
        case Target.LABELS:
            roc, precision, each = _areas_of_labels(outputs, labels > 0.5)
            work_out = each.copy
        case Target.CLASSES:
            roc, precision = areas(outputs, labels)
            work_out = functools.partial(_of_classes, outputs, labels == 1, threshold)
    undefined = None if roc is not None else f"the {len(labels)} held-out samples do not have every class"
    return Evaluation(len(labels), loss, roc, precision, undefined, work_out)


def _of_classes(outputs: Tensor, positive: Tensor, threshold: float) -> Scalars:
    """Return the details where there are two classes; none of more."""
    if outputs.shape[1] != 2:
        return {}
    logit = outputs[:, 1] - outputs[:, 0]
    return {**at_threshold(logit.sigmoid(), positive, threshold), **calibration(logit, positive)}


def _areas_of_labels(scores: Tensor, positive: Tensor) -> tuple[float | None, float | None, dict[str, float | None]]:
    """Return the mean areas over the labels that have both outcomes, and each label's own."""
    count = scores.shape[1]
    rocs = [auroc(scores[:, label], positive[:, label]) for label in range(count)]
    precisions = [average_precision(scores[:, label], positive[:, label]) for label in range(count)]
    known = [roc for roc in rocs if roc is not None]
    details: dict[str, float | None] = {"labels_with_both_outcomes": float(len(known))}
    details |= {f"auroc_{label}": roc for label, roc in enumerate(rocs)}
    details |= {f"auprc_{label}": precision for label, precision in enumerate(precisions)}
    if not known:
        return None, None, details
    mean_precision = sum(precision for precision in precisions if precision is not None) / len(known)
    return sum(known) / len(known), mean_precision, details


def to_device(features: Tensor | Mapping[str, Tensor], device: Any) -> Any:
    """Return the features on a device, whichever of the two forms they have."""
    if isinstance(features, Tensor):
        return features.to(device)
    return {name: tensor.to(device) for name, tensor in features.items()}
