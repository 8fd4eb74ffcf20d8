"""SCAFFOLD: sites correct their steps by how their own gradient differs from everybody's.

With several local steps FedAvg drifts: each site walks towards its own optimum, and the mean of where they end is not
the optimum of all. Here the aggregator holds a control ``c``, the mean of the sites' controls ``c_i``, and a site steps
along ``g - c_i + c``. Beside the weights travel ``c`` down and the change of ``c_i`` up; ``c_i`` stays at the site.

Source: Karimireddy et al., ICML 2020, algorithm 1, option II.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fl_app.config import Training
from fl_app.errors import PluginError, TrainingError
from fl_app.learning.aggregation import add_up
from fl_app.learning.folding import Fold, MeanFold
from fl_app.learning.options import Number, read_options
from fl_app.learning.protocol import EXTRA
from fl_app.learning.state import is_weight
from fl_app.plugins import Update

State = OrderedDict[str, Tensor]

_CONTROL = f"{EXTRA}control."


class Scaffold:
    """Stochastic controlled averaging. Every site counts the same, as in the paper, whatever its number of samples.

    ``x = x + rate * mean(y_i - x)`` and ``c = c + |S|/N * mean(change of c_i)``, the means over the ``|S|`` sites that
    answered of ``N``. What is no weight (whole numbers, running means and variances) takes the plain mean.
    """

    def __init__(self, options: Mapping[str, object]) -> None:
        """Take ``server_learning_rate``, 1 if left out."""
        known = {"server_learning_rate": Number(1.0, above=0.0)}
        self._rate = read_options("scaffold", options, known)["server_learning_rate"]
        self._sites = 0

    def prepare(self, sites: int, quorum: int) -> None:
        """Take note of how many sites there are: the paper's ``N``."""
        del quorum
        self._sites = sites

    def extra(self, form: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Declare a control for each weight."""
        return {_CONTROL + name: tensor for name, tensor in form.items() if is_weight(name, tensor)}

    def aggregate(self, global_state: State, updates: Sequence[Update]) -> State:
        """Return the next weights and the aggregator's next control."""
        return add_up(self.fold(global_state), updates)

    def fold(self, global_state: Mapping[str, Tensor]) -> Fold:
        """Return a sum that updates are added to as they arrive."""
        return _EqualFold(global_state, self._rate, self._sites)

    def local(self, training: Training) -> ControlledSteps:
        """Return what sites do: correct their gradients.

        A weight decay is part of the loss that plain SGD goes down, so the controls hold it as well.

        Raises:
            PluginError: the optimizer is not plain SGD.
        """
        if training.optimizer != "sgd":
            raise PluginError(
                f"scaffold works with the optimizer sgd; training.optimizer is {training.optimizer}. Its controls are "
                "mean gradients, worked out from how far plain SGD has gone; another optimizer's way is no such mean.",
                remedy="Set training.optimizer: sgd, with a learning rate for it; or take another aggregation.",
            )
        return ControlledSteps(training.learning_rate)


class _EqualFold:
    """The mean in which every update counts once; then the steps of weights and controls."""

    def __init__(self, before: Mapping[str, Tensor], rate: float, sites: int) -> None:
        self._before, self._rate, self._sites = before, rate, sites
        self._answered = 0
        self._mean = MeanFold(before, step=self._step)

    def add(self, update: Update) -> None:
        self._answered += 1
        self._mean.add(Update(update.site, 1, update.state))

    def finish(self) -> State:
        return self._mean.finish()

    def _step(self, name: str, part: slice, mean: Tensor) -> Tensor:
        is_control = name.startswith(_CONTROL)
        if not is_control and not is_weight(name, self._before[name]):
            return mean
        at = self._before[name].reshape(-1)[part].to(torch.float64)
        if is_control:
            return at + self._answered / max(self._sites, self._answered) * mean
        return at + self._rate * (mean - at)


class ControlledSteps:
    """A site's side: it steps along ``g - c_i + c`` and renews ``c_i`` at the end of the fit."""

    def __init__(self, learning_rate: float) -> None:
        self._learning_rate = learning_rate
        self._steps = 0
        self._others: State = OrderedDict()
        self._weights: dict[str, nn.Parameter] = {}
        self._starts: dict[str, Tensor] = {}
        self._controls: dict[str, Tensor] = {}
        self._own: State = OrderedDict()
        self._corrections: dict[str, Tensor] = {}

    def begin(self, model: nn.Module, global_state: State, local_state: State | None) -> None:
        """Take the aggregator's control, and the site's own: zeros before its first fit.

        Raises:
            TrainingError: the site's control is of another model.
        """
        self._steps = 0
        self._weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self._others = OrderedDict(  # of a buffer, or a second name of a weight
            (name, torch.zeros_like(control))
            for name, control in global_state.items()
            if name.startswith(_CONTROL) and name.removeprefix(_CONTROL) not in self._weights
        )
        for name, weight in self._weights.items():
            control = global_state[_CONTROL + name].to(weight.device)
            own = torch.zeros_like(control) if local_state is None else local_state.get(name)
            if own is None or own.shape != weight.shape:
                raise TrainingError(
                    f"What this site kept from its last round is of another model: its control of {name}.",
                    remedy="Delete what the site has kept; the run goes on without.",
                )
            own = own.to(weight.device, weight.dtype)
            self._starts[name] = weight.detach().clone()
            self._controls[name], self._own[name] = control, own
            self._corrections[name] = control - own

    def after_backward(self) -> None:
        """Correct the gradients of a batch."""
        self._steps += 1
        for name, weight in self._weights.items():
            if weight.grad is None:
                weight.grad = self._corrections[name].clone()
            else:
                weight.grad.add_(self._corrections[name])

    def end(self) -> tuple[State, State | None]:
        """Return the change of the site's control, and the control: ``c_i - c + (x - y) / (K * learning rate)``."""
        changes = self._others
        own: State = OrderedDict()
        for name, weight in self._weights.items():
            change = torch.zeros_like(self._own[name])
            if self._steps:
                way = (self._starts[name] - weight.detach()) / (self._steps * self._learning_rate)
                change = way - self._controls[name]
            own[name] = (self._own[name] + change).cpu()
            changes[_CONTROL + name] = change.cpu()
        self._weights, self._starts, self._controls, self._corrections, self._own = {}, {}, {}, {}, OrderedDict()
        return changes, own
