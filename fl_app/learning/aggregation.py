"""FedAvg and FedProx: the next global model is the mean of the sites' models."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from fl_app.config import Training
from fl_app.learning.folding import Fold, MeanFold
from fl_app.learning.options import Number, read_options
from fl_app.plugins import Update

State = OrderedDict[str, Tensor]


class FedAvg:
    """The mean of the sites' weights, each weighted by its number of training samples.

    Sums run in float64 and in the order given, so the result depends on the updates alone, bit for bit. Whole numbers,
    such as the counters of normalisation layers, become the mean's nearest.

    Source: McMahan et al., AISTATS 2017, algorithm 1.
    """

    def __init__(self, options: Mapping[str, object]) -> None:
        """Refuse options: FedAvg has none."""
        read_options("fedavg", options, {})

    def aggregate(self, global_state: State, updates: Sequence[Update]) -> State:
        """Return the weighted mean over the updates, in the names, shapes and types of the global weights."""
        return add_up(self.fold(global_state), updates)

    def fold(self, global_state: Mapping[str, Tensor]) -> Fold:
        """Return a sum that updates are added to as they arrive."""
        return MeanFold(global_state)


class FedProx(FedAvg):
    """FedAvg whose sites are held back: their loss has the term ``mu/2 * ||w - w_global||^2`` more.

    Sites that differ drift less far from each other in a round. It works with every optimizer: the term's gradient is
    added before the step.

    Source: Li et al., MLSys 2020, algorithm 2 and equation 2.
    """

    def __init__(self, options: Mapping[str, object]) -> None:
        """Take ``mu``, 0.01 if left out; the paper looks for it among 0.001, 0.01, 0.1 and 1."""
        self._mu = read_options("fedprox", options, {"mu": Number(0.01, least=0.0)})["mu"]

    def local(self, training: Training) -> ProximalTerm:
        """Return what sites do: hold back."""
        del training
        return ProximalTerm(self._mu)


class ProximalTerm:
    """Adds ``mu * (w - w_global)`` to the gradients."""

    def __init__(self, mu: float) -> None:
        self._mu = mu
        self._pairs: list[tuple[nn.Parameter, Tensor]] = []

    def begin(self, model: nn.Module, global_state: State, local_state: State | None) -> None:
        """Remember where the fit begins; the model has the global weights."""
        del global_state, local_state
        self._pairs = [(weight, weight.detach().clone()) for weight in model.parameters() if weight.requires_grad]

    def after_backward(self) -> None:
        """Pull towards where the fit began."""
        for weight, start in self._pairs:
            if weight.grad is not None:
                weight.grad.add_(weight.detach() - start, alpha=self._mu)

    def end(self) -> tuple[State, State | None]:
        """Forget the fit: nothing else is sent, nothing is remembered."""
        self._pairs = []
        return OrderedDict(), None


def add_up(fold: Fold, updates: Sequence[Update]) -> State:
    """Add updates to a fold in the order given, and return what it makes of them."""
    for update in updates:
        fold.add(update)
    return fold.finish()
