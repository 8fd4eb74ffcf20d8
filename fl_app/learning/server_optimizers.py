"""Server optimizers: the aggregator takes the sites' mean change for a gradient and steps with a memory of its own.

The pseudo-gradient is ``d = mean(x_i) - x``, the mean weighted by the sites' training samples. What is no weight takes
FedAvg's mean instead of a step: whole numbers, and the running mean and variance of normalisation layers, which a step
with a memory could make negative. Arithmetic is float64; memories are kept in the weights' type, at least float32.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fl_app.errors import PluginError
from fl_app.learning.aggregation import add_up
from fl_app.learning.folding import Fold, MeanFold
from fl_app.learning.options import Number, read_options
from fl_app.learning.state import is_weight
from fl_app.plugins import Update

State = OrderedDict[str, Tensor]

_RATE = Number(0.01, above=0.0)
_BETA1 = Number(0.9, least=0.0, below=1.0)
_BETA2 = Number(0.99, least=0.0, below=1.0)
_TAU = Number(1e-3, above=0.0)


class _ServerOptimizer:
    """Folds the updates into their mean, then steps, a block of weights at a time."""

    #: As in federation.yaml.
    name: ClassVar[str]
    #: What there is to choose.
    known: ClassVar[Mapping[str, Number]]
    #: Memories for each weight, and what they hold at the start.
    memories: ClassVar[tuple[str, ...]]

    def __init__(self, options: Mapping[str, object]) -> None:
        """Take the options of docs/aggregation.md."""
        self.options = read_options(self.name, options, self.known)
        self._kept: State = OrderedDict()

    def aggregate(self, global_state: State, updates: Sequence[Update]) -> State:
        """Return the global weights after one step."""
        return add_up(self.fold(global_state), updates)

    def fold(self, global_state: Mapping[str, Tensor]) -> Fold:
        """Return a sum that updates are added to as they arrive; it steps when it is finished."""

        def step(name: str, part: slice, mean: Tensor) -> Tensor:
            before = global_state[name]
            if not is_weight(name, before):
                return mean
            memories = [self._memory(kind, name, before) for kind in self.memories]
            at = before.reshape(-1)[part].to(torch.float64)
            held = [memory[part].to(torch.float64) for memory in memories]
            change, remembered = self._step(mean - at, held)
            for memory, now in zip(memories, remembered, strict=True):
                memory[part] = now.to(memory.dtype)
            return at + change

        return MeanFold(global_state, step=step)

    def kept(self) -> State:
        """Return copies of the memories, ``<memory>.<weight>``."""
        return OrderedDict((name, tensor.clone()) for name, tensor in self._kept.items())

    def restore(self, kept: State) -> None:
        """Take memories from before a restart.

        Raises:
            PluginError: they are another aggregation's.
        """
        for name in kept:
            if name.partition(".")[0] not in self.memories:
                raise PluginError(f"What was kept holds {name!r:.80}; {self.name} keeps {', '.join(self.memories)}.")
        self._kept = OrderedDict((name, tensor.clone()) for name, tensor in kept.items())

    def _start(self, memory: str) -> float:
        """Return what a memory holds before the first round."""
        del memory
        return 0.0

    def _step(self, gradient: Tensor, memories: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        """Return the change of a block of weights, and the block's memories for the next round; all float64 [block]."""
        raise NotImplementedError

    def _memory(self, kind: str, name: str, like: Tensor) -> Tensor:
        key = f"{kind}.{name}"
        if key not in self._kept:
            dtype = like.dtype if like.element_size() >= torch.float32.itemsize else torch.float32
            self._kept[key] = torch.full(like.shape, self._start(kind), dtype=dtype)
        found = self._kept[key]
        if found.shape != like.shape:
            raise PluginError(
                f"What was kept is of another model: {key} is {list(found.shape)}, not {list(like.shape)}."
            )
        return found.view(-1)


class FedAvgM(_ServerOptimizer):
    """FedAvg with momentum at the aggregator: ``v = momentum * v + d``, ``x = x + rate * v``.

    Source: Hsu, Qi and Brown, arXiv:1909.06335, section 4.3; the rate is that of Reddi et al. (1 is the former's).
    """

    name = "fedavgm"
    known: ClassVar = {"server_learning_rate": Number(1.0, above=0.0), "momentum": Number(0.9, least=0.0, below=1.0)}
    memories = ("momentum",)

    def _step(self, gradient: Tensor, memories: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        (momentum,) = memories
        momentum = self.options["momentum"] * momentum + gradient
        return self.options["server_learning_rate"] * momentum, (momentum,)


class _Adaptive(_ServerOptimizer):
    """``m = beta1 * m + (1 - beta1) * d``, ``x = x + rate * m / (sqrt(v) + tau)``; how ``v`` grows is the optimizer's.

    As in the paper ``m`` begins at 0 and ``v`` at tau squared, and neither is corrected for that.

    Source: Reddi et al., ICLR 2021, algorithm 2.
    """

    known: ClassVar = {"server_learning_rate": _RATE, "beta1": _BETA1, "beta2": _BETA2, "tau": _TAU}
    memories = ("momentum", "square")

    def _start(self, memory: str) -> float:
        return self.options["tau"] ** 2 if memory == "square" else 0.0

    def _step(self, gradient: Tensor, memories: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        momentum, square = memories
        beta1 = self.options["beta1"]
        momentum = beta1 * momentum + (1 - beta1) * gradient
        square = self._grown(square, gradient**2)
        change = self.options["server_learning_rate"] * momentum / (square.sqrt() + self.options["tau"])
        return change, (momentum, square)

    def _grown(self, square: Tensor, new: Tensor) -> Tensor:
        """Return ``v`` after a round: from the one before and the pseudo-gradient's square."""
        raise NotImplementedError


class FedAdam(_Adaptive):
    """``v = beta2 * v + (1 - beta2) * d^2``. Source: Reddi et al., ICLR 2021, algorithm 2."""

    name = "fedadam"

    def _grown(self, square: Tensor, new: Tensor) -> Tensor:
        return self.options["beta2"] * square + (1 - self.options["beta2"]) * new


class FedYogi(_Adaptive):
    """``v = v - (1 - beta2) * d^2 * sign(v - d^2)``. Source: Reddi et al., ICLR 2021, algorithm 2."""

    name = "fedyogi"

    def _grown(self, square: Tensor, new: Tensor) -> Tensor:
        return square - (1 - self.options["beta2"]) * new * torch.sign(square - new)


class FedAdagrad(_Adaptive):
    """``v = v + d^2``; beta1 is 0 unless it is given. Source: Reddi et al., ICLR 2021, algorithm 2."""

    name = "fedadagrad"
    known: ClassVar = {
        "server_learning_rate": Number(0.1, above=0.0),
        "beta1": Number(0.0, least=0.0, below=1.0),
        "tau": _TAU,
    }

    def _grown(self, square: Tensor, new: Tensor) -> Tensor:
        return square + new
