"""Which updates of a round stand out: by their length, and by their direction against the others'.

An update's change of the global weights is reduced to its norm and a count sketch of 2,048 numbers when it arrives, in
one pass and in bounded memory; the weights themselves need not be kept. Scalar products of sketches estimate those of
the changes with a standard error of about 1/sqrt(2048) = 0.02 of the norms.

Hospitals differ, so an honest update may be long (more samples are more steps) and may point elsewhere; near the end of
a training honest changes even cancel out. An update stands out only if

- it points against the others (cosine below -0.3) and is twice as long while those agree with each other, or four
  times as long as at least four others; or
- it is many times longer than the others', beyond what its number of samples and the others' own spread account for.

It is a hint to people, not a verdict: a site of another kind may stand out as well. With fewer than three updates there
are no others to compare with, and nothing stands out.

Source of the sketch: Charikar, Chen and Farach-Colton, ICALP 2002.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from fl_app.learning.protocol import EXTRA
from fl_app.learning.state import is_weight

_WIDTH = 2048
_ROWS = 64
_BLOCK = _ROWS * _WIDTH
_SEED = 20_021

_FEWEST = 3
#: Others of whom two that are alike by chance are no majority.
_MANY = 4
#: The cosine to the others below which an update points against them.
_AGAINST = -0.3
#: The mean cosine among the others from which they agree.
_AGREED = 0.25
#: How many times longer than the others' median an update is that points against others who agree, or against
#: :data:`_MANY` others, or that is too long whatever its direction. Honest sites of four or more stayed below 2.3 in
#: simulation, as benchmarks/bench_outliers.py has it.
_LONGER, _MUCH_LONGER, _TOO_LONG = 2.0, 4.0, 6.0
#: How many robust standard deviations of the others' log norms an update that is too long is beyond their median.
_SPREADS = 4.0
#: The least that such a deviation counts, so that others that happen to be alike are no measure: a factor of 1.28.
_LEAST_SPREAD = 0.25


@dataclass(frozen=True, slots=True)
class Sketch:
    """An update's change: its norm, and float64 ``[2048]`` whose scalar products estimate those of the changes."""

    norm: float
    values: Tensor


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an update compares with the others of its round.

    Attributes:
        update_norm: Euclidean norm of its change of the global weights; None beyond the range of numbers.
        cosine: of the angle to the sum of the others' directions; None where either has none.
        outlier: whether it stands out.
    """

    update_norm: float | None
    cosine: float | None
    outlier: bool


def sketch(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> Sketch:
    """Reduce an update to its sketch; what is no weight does not count.

    Args:
        before: the global state.
        after: the site's, at least the same names.
    """
    signs = _signs()
    flips = torch.Generator().manual_seed(_SEED)
    values, squares = torch.zeros(_WIDTH, dtype=torch.float64), 0.0
    padded = torch.empty(_BLOCK)
    for name, tensor in before.items():
        if name.startswith(EXTRA) or not is_weight(name, tensor):
            continue
        start_of, end_of = tensor.detach().reshape(-1), after[name].detach().reshape(-1)
        for start in range(0, start_of.numel(), _BLOCK):
            change = end_of[start : start + _BLOCK] - start_of[start : start + _BLOCK]
            squares += float(torch.linalg.vector_norm(change, dtype=torch.float64)) ** 2
            rows = -(-change.numel() // _WIDTH)
            if change.numel() < rows * _WIDTH:
                padded[: change.numel()] = change
                padded[change.numel() : rows * _WIDTH] = 0
                change = padded[: rows * _WIDTH]
            flip = 1.0 if torch.randint(2, (), generator=flips) else -1.0
            values.add_(torch.mul(change.view(rows, _WIDTH), signs[:rows]).sum(0), alpha=flip)
    return Sketch(math.sqrt(squares), values)


def judge(sketches: Mapping[str, Sketch], samples: Mapping[str, int]) -> dict[str, Verdict]:
    """Compare the updates of a round.

    Args:
        sketches: by site.
        samples: by site, the training samples of its update.
    """
    directions = {site: _direction(found) for site, found in sketches.items()}
    verdicts = {}
    for site, found in sketches.items():
        others = [other for other in sketches if other != site]
        cosine, agreement = _compared(directions[site], [directions[other] for other in others])
        stands_out = False
        if len(sketches) >= _FEWEST:
            times = _times_longer(found.norm, [sketches[other].norm for other in others])
            times /= max(1.0, samples[site] / statistics.median(samples[other] for other in others))
            spread = _spread([sketches[other].norm for other in others])
            is_too_long = times > max(_TOO_LONG, math.exp(_SPREADS * spread))
            is_against = cosine is not None and cosine < _AGAINST
            is_longer = times > (_LONGER if agreement > _AGREED else _MUCH_LONGER if len(others) >= _MANY else math.inf)
            stands_out = is_too_long or (is_against and is_longer)
        verdicts[site] = Verdict(found.norm if math.isfinite(found.norm) else None, cosine, stands_out)
    return verdicts


def _compared(own: Tensor | None, others: list[Tensor | None]) -> tuple[float | None, float]:
    """Return the cosine to the sum of the others' directions, and their own mean cosine to each other."""
    known = [other for other in others if other is not None]
    if own is None or not known:
        return None, 0.0
    together = torch.stack(known).sum(0)
    length = float(torch.linalg.vector_norm(together))
    pairs = len(known) * (len(known) - 1)
    agreement = (length**2 - len(known)) / pairs if pairs else 0.0
    return (float(own @ together) / length if length else None), agreement


def _direction(found: Sketch) -> Tensor | None:
    """Return a sketch of length 1, or None where there is no direction."""
    length = float(torch.linalg.vector_norm(found.values))
    return found.values / length if 0 < length < math.inf else None


def _times_longer(norm: float, others: list[float]) -> float:
    median = statistics.median(others)
    if not norm or not median:
        return math.inf if norm else 0.0
    return norm / median


def _spread(norms: list[float]) -> float:
    """Return the robust standard deviation of the norms' logarithms."""
    logs = [math.log(norm) for norm in norms if 0 < norm < math.inf]
    if not logs:
        return _LEAST_SPREAD
    middle = statistics.median(logs)
    return max(_LEAST_SPREAD, 1.4826 * statistics.median(abs(log - middle) for log in logs))


@cache
def _signs() -> Tensor:
    """Return the signs of a block's places, +1 or -1, float32 ``[64, 2048]``; those of whole blocks differ besides."""
    draw = torch.Generator().manual_seed(_SEED)
    return torch.randint(2, (_ROWS, _WIDTH), generator=draw).to(torch.float32).mul_(2).sub_(1)
