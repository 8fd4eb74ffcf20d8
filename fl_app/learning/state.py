"""A model's weights as they travel: names, shapes, types and finite numbers, and nothing else."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

_STATISTICS = ("running_mean", "running_var")


def copy_of(model: nn.Module) -> OrderedDict[str, Tensor]:
    """Return the weights on the CPU, in memory of their own: nobody can change them through the model."""
    return OrderedDict(
        (name, tensor.detach().to("cpu", copy=True).contiguous()) for name, tensor in model.state_dict().items()
    )


def is_weight(name: str, tensor: Tensor) -> bool:
    """Say whether a tensor of a state is what is learned by gradients, as far as its name and type tell.

    Whole numbers are not, and neither are the running mean and variance of torch's normalisation layers.
    """
    return tensor.is_floating_point() and name.rpartition(".")[2] not in _STATISTICS


def difference(state: Mapping[str, Tensor], template: Mapping[str, Tensor]) -> str | None:
    """Say what keeps some weights from being this model's, or return None.

    Args:
        state: what arrived, or is about to leave.
        template: the model's own weights.
    """
    for name in template.keys() | state.keys():
        if name not in state:
            return f"the tensor {name} is missing"
        if name not in template:
            return f"the tensor {name!r:.80} is not of the model"
        found, declared = state[name], template[name]
        if found.shape != declared.shape or found.dtype != declared.dtype:
            return f"{name} is {found.dtype} {list(found.shape)}; the model has {declared.dtype} {list(declared.shape)}"
    return not_finite(state)


def not_finite(state: Mapping[str, Tensor]) -> str | None:
    """Say which tensor holds what is not a finite number, or return None."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and tensor.numel() and not _is_finite(tensor):
            return f"{name} holds NaN or infinity"
    return None


def _is_finite(tensor: Tensor) -> bool:
    """Look at the extremes, which are NaN if anything is: one pass and no memory."""
    least, most = torch.aminmax(tensor)
    return math.isfinite(least.item()) and math.isfinite(most.item())


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of a file's bytes."""
    return hashlib.sha256(data).hexdigest()
