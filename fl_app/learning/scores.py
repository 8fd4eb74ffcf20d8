"""What areas under curves do not say: how good decisions at a threshold are, how true likelihoods, how close numbers.

Every function returns scalars by name; None where the held-out data leaves one undefined.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

THRESHOLD = 0.5
"""From which likelihood on a sample counts as positive, unless said otherwise: the benchmark's."""

CALIBRATION_BINS = 10
_NEWTON_STEPS = 50
_LARGEST = 1e6

Scalars = Mapping[str, float | None]


def at_threshold(likelihood: Tensor, positive: Tensor, threshold: float = THRESHOLD) -> Scalars:
    """Return sensitivity, specificity, PPV and NPV of "positive from this likelihood on", and the threshold.

    Args:
        likelihood: float64 ``[N]``, 0 to 1.
        positive: bool ``[N]``.
        threshold: likelihoods at or above it count as positive.
    """
    said = likelihood >= threshold
    hits, misses = int((said & positive).sum()), int((~said & positive).sum())
    false_alarms, quiet = int((said & ~positive).sum()), int((~said & ~positive).sum())
    return {
        "threshold": threshold,
        "sensitivity": _ratio(hits, hits + misses),
        "specificity": _ratio(quiet, quiet + false_alarms),
        "ppv": _ratio(hits, hits + false_alarms),
        "npv": _ratio(quiet, quiet + misses),
    }


def calibration(logit: Tensor, positive: Tensor) -> Scalars:
    """Return how well likelihoods agree with frequencies.

    Training with balanced class weights makes likelihoods too high on purpose; the intercept shows it.

    Args:
        logit: float64 ``[N]``, the log-odds of being positive.
        positive: bool ``[N]``.

    Returns:
        ``brier``: the mean squared error of the likelihoods. ``calibration_error``: the mean gap between likelihood and
        frequency over :data:`CALIBRATION_BINS` bins of equal width, weighted by their samples.
        ``calibration_intercept`` and ``calibration_slope``: of the logistic regression of the outcome on the logit; 0
        and 1 are ideal, a slope below 1 means likelihoods that are too extreme. None without both outcomes, or if the
        logit separates them.

    Source: Guo et al., ICML 2017 (the bins); Cox, Biometrika 45 (1958), and Van Calster et al., BMC Medicine 17 (2019).
    """
    likelihood, truth = logit.sigmoid(), positive.double()
    place = (likelihood * CALIBRATION_BINS).long().clamp(max=CALIBRATION_BINS - 1)
    gaps = torch.zeros(CALIBRATION_BINS, dtype=torch.float64).index_add_(0, place, likelihood - truth)
    intercept, slope = _recalibrated(logit, truth)
    return {
        "brier": float(((likelihood - truth) ** 2).mean()),
        "calibration_error": float(gaps.abs().sum() / len(truth)),
        "calibration_intercept": intercept,
        "calibration_slope": slope,
    }


def of_numbers(found: Tensor, truth: Tensor) -> Scalars:
    """Return the mean absolute error, in the labels' unit, and R².

    Args:
        found: float64 ``[N]``, what the model says.
        truth: float64 ``[N]``.
    """
    spread = float(((truth - truth.mean()) ** 2).sum())
    return {
        "mae": float((found - truth).abs().mean()),
        "r2": 1 - float(((found - truth) ** 2).sum()) / spread if spread > 0 else None,
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _recalibrated(logit: Tensor, truth: Tensor) -> tuple[float | None, float | None]:
    """Return intercept and slope of the outcome's logistic regression on the logit, by Newton's method."""
    if truth.min() == truth.max() or logit.min() == logit.max() or _separates(logit, truth > 0):
        return None, None
    inputs = torch.stack([torch.ones_like(logit), logit], 1)
    found = torch.zeros(2, dtype=torch.float64)
    for _ in range(_NEWTON_STEPS):
        likelihood = (inputs @ found).sigmoid()
        curvature = inputs.T @ (inputs * (likelihood * (1 - likelihood))[:, None])
        step, failed = torch.linalg.solve_ex(curvature, inputs.T @ (truth - likelihood))
        if failed or not torch.isfinite(step).all():
            return None, None
        found = found + step
        if float(found.abs().max()) > _LARGEST:  # all but separated outcomes: it runs off
            return None, None
        if float(step.abs().max()) < 1e-10:
            return float(found[0]), float(found[1])
    return None, None


def _separates(logit: Tensor, positive: Tensor) -> bool:
    """Say whether a threshold tells the outcomes apart: then no finite slope is the likeliest.

    Source: Albert and Anderson, Biometrika 71 (1984).
    """
    low, high = logit[~positive], logit[positive]
    return bool(low.max() <= high.min() or high.max() <= low.min())
