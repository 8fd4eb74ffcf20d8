"""How the sites' updates become the next global model: FedAvg."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from torch import Tensor

from fl_app.errors import PluginError
from fl_app.learning.folding import Fold, MeanFold
from fl_app.plugins import Update


class FedAvg:
    """The mean of the sites' weights, each weighted by its number of training samples.

    Sums run in float64 and in the order given, so the result depends on the updates alone, bit for bit.

    Source: McMahan et al., AISTATS 2017, algorithm 1.
    """

    def __init__(self, options: Mapping[str, object]) -> None:
        """Refuse options: FedAvg has none."""
        if options:
            raise PluginError(f"fedavg has no options; found {', '.join(sorted(options))}.", remedy="Remove them.")

    def aggregate(self, global_state: OrderedDict[str, Tensor], updates: Sequence[Update]) -> OrderedDict[str, Tensor]:
        """Return the weighted mean over the updates, in the names, shapes and types of the global weights."""
        mean = self.fold(global_state)
        for update in updates:
            mean.add(update)
        return mean.finish()

    def fold(self, form: Mapping[str, Tensor]) -> Fold:
        """Return a sum that updates are added to as they arrive."""
        return MeanFold(form)
