"""The tensors that travel beside the weights, where an aggregation has any."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor

from fl_app.errors import PluginError
from fl_app.learning.protocol import EXTRA, Aggregation, ask

State = OrderedDict[str, Tensor]


def declared(model_state: Mapping[str, Tensor], aggregation: Aggregation | None) -> State:
    """Return names, shapes and types of all that travels, as meta tensors: the weights, then the extra tensors.

    Args:
        model_state: the model's own.
        aggregation: may declare more with ``extra``; None has none.

    Raises:
        PluginError: a name could be that of a weight, or is.
    """
    form = OrderedDict((name, _form_of(tensor)) for name, tensor in model_state.items())
    found: Mapping[str, Tensor] = (ask(aggregation, "extra", form) if aggregation else None) or {}
    for name in found:
        if not name.startswith(EXTRA) or name in form:
            raise PluginError(
                f"The aggregation {type(aggregation).__name__} calls an extra tensor {name!r:.80}, "
                + ("as the model calls one of its own." if name in form else "which could be the name of a weight."),
                remedy=f"Let the names of extra tensors begin with {EXTRA!r}; torch itself gives no such name.",
            )
    return OrderedDict([*form.items(), *((name, _form_of(tensor)) for name, tensor in found.items())])


def weights_of(state: Mapping[str, Tensor]) -> State:
    """Return what belongs to the model, without the extra tensors."""
    return OrderedDict((name, tensor) for name, tensor in state.items() if not name.startswith(EXTRA))


def extra_of(state: Mapping[str, Tensor]) -> State:
    """Return the extra tensors, without the model's."""
    return OrderedDict((name, tensor) for name, tensor in state.items() if name.startswith(EXTRA))


def zeros_of(form: Mapping[str, Tensor]) -> State:
    """Return zeros in this form, on the CPU."""
    return OrderedDict((name, torch.zeros(tensor.shape, dtype=tensor.dtype)) for name, tensor in form.items())


def _form_of(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
