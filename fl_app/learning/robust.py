"""Aggregations that a few bad sites cannot pull away: each coordinate by itself, the extremes left out.

Every site counts the same, whatever number of samples it claims: a weight would be a way in. What is not a float is
rounded to the nearest whole number. Updates are sorted per coordinate, so the order of the sites does not matter.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from fl_app.errors import PluginError
from fl_app.learning.options import unknown_options
from fl_app.plugins import Update

State = OrderedDict[str, Tensor]

#: Fewest updates of a round; infra/federation/checks/training.py says the same of federation.yaml.
FEWEST = 5
#: Coordinates that are sorted at once, over all sites.
_BLOCK = 1 << 16


class TrimmedMean:
    """The mean of each coordinate without its largest and smallest values.

    Source: Yin et al., ICML 2018, definition 2.
    """

    def __init__(self, options: Mapping[str, object]) -> None:
        """Take ``trim``, what is left out at each end: a share of the sites (below 0.5; 0.2 if left out) or a number.

        A share is rounded up: 0.2 of 7 sites are two at each end.

        Raises:
            PluginError: it is neither, or there is another option.
        """
        faults = unknown_options("trimmed_mean", options, {"trim": None})
        found = options.get("trim", 0.2)
        is_share = isinstance(found, float) and 0 < found < 0.5
        is_number = isinstance(found, int) and not isinstance(found, bool) and found >= 1
        if not is_share and not is_number:
            faults.append(
                f"trimmed_mean: trim is {found!r:.80}; allowed is a share of the sites above 0 and below 0.5, "
                "or a whole number of at least 1: what is left out at each end."
            )
        if faults:
            raise PluginError(
                "\n".join(faults), remedy="Correct training.aggregation.options; see docs/aggregation.md."
            )
        self._trim: float = found  # type: ignore[assignment]  # checked above

    def prepare(self, sites: int, quorum: int) -> None:
        """Refuse a round that may close with too few updates.

        Raises:
            PluginError: fewer than five, or none would be left.
        """
        del sites
        _refuse_too_few("trimmed_mean", quorum)
        self._cut(quorum)

    def aggregate(self, global_state: State, updates: Sequence[Update]) -> State:
        """Return the trimmed mean of the updates.

        Raises:
            PluginError: there are too few updates.
        """
        _refuse_too_few("trimmed_mean", len(updates))
        cut = self._cut(len(updates))
        return _by_coordinate(global_state, updates, lambda ordered: ordered[cut : len(ordered) - cut].mean(0))

    def _cut(self, count: int) -> int:
        if isinstance(self._trim, float):
            return min(math.ceil(self._trim * count - 1e-9), (count - 1) // 2)
        if 2 * self._trim >= count:
            raise PluginError(
                f"trimmed_mean leaves out {self._trim} at each end of {count} updates: none is left.",
                remedy=f"Set trim to at most {(count - 1) // 2}.",
            )
        return self._trim


class Median:
    """The median of each coordinate; of an even number of sites the mean of the two in the middle.

    Source: Yin et al., ICML 2018, definition 1.
    """

    def __init__(self, options: Mapping[str, object]) -> None:
        """Refuse options: the median has none."""
        faults = unknown_options("median", options, {})
        if faults:
            raise PluginError("\n".join(faults), remedy="Remove them.")

    def prepare(self, sites: int, quorum: int) -> None:
        """Refuse a round that may close with fewer than five updates.

        Raises:
            PluginError: it may.
        """
        del sites
        _refuse_too_few("median", quorum)

    def aggregate(self, global_state: State, updates: Sequence[Update]) -> State:
        """Return the median of the updates.

        Raises:
            PluginError: there are fewer than five.
        """
        _refuse_too_few("median", len(updates))
        low, high = (len(updates) - 1) // 2, len(updates) // 2
        return _by_coordinate(global_state, updates, lambda ordered: (ordered[low] + ordered[high]) / 2)


def _refuse_too_few(name: str, updates: int) -> None:
    if updates < FEWEST:
        raise PluginError(
            f"{name} needs {FEWEST} sites in every round; one may close with {updates}. With fewer, next to nothing is "
            "left without the extremes: the median of two is their mean, which one bad site moves at will.",
            remedy="Take fedavg, or raise policy.quorum and the number of participants.",
        )


def _by_coordinate(form: State, updates: Sequence[Update], middle: Callable[[Tensor], Tensor]) -> State:
    """Apply ``middle`` to blocks, float64 ``[sites, block]`` sorted along the sites; it returns ``[block]``."""
    after: State = OrderedDict()
    for name, declared in form.items():
        made = torch.empty(declared.numel(), dtype=declared.dtype)
        columns = [update.state[name].reshape(-1) for update in updates]
        for start in range(0, made.numel(), _BLOCK):
            part = slice(start, start + _BLOCK)
            ordered = torch.stack([column[part] for column in columns]).to(torch.float64).sort(dim=0).values
            value = middle(ordered)
            made[part] = (value if declared.is_floating_point() else value.round()).to(declared.dtype)
        after[name] = made.view(declared.shape)
    return after
