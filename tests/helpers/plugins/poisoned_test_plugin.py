"""What a bad site has in place of the federation's aggregation: its fits are honest, and what it sends is not."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fl_app.config import Training

State = OrderedDict[str, Tensor]


class Poisoned:
    """Multiplies what a fit has changed by the option ``factor``."""

    def __init__(self, options: Mapping[str, float]) -> None:
        self._factor = options["factor"]
        self._weights: list[tuple[nn.Parameter, Tensor]] = []

    def aggregate(self, global_state: State, updates: object) -> State:
        raise AssertionError("the aggregator has another aggregation")

    def local(self, training: Training) -> Poisoned:
        return self

    def begin(self, model: nn.Module, global_state: State, local_state: State | None) -> None:
        self._weights = [(weight, weight.detach().clone()) for weight in model.parameters()]

    def after_backward(self) -> None:
        pass

    def end(self) -> tuple[State, None]:
        with torch.no_grad():
            for weight, start in self._weights:
                weight.copy_(start + self._factor * (weight - start))
        return OrderedDict(), None
