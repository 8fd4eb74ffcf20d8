"""The built-in model: logistic regression, the benchmark's 22,100 inputs to 2 classes unless options say otherwise."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from fl_app.errors import PluginError
from fl_app.plugins import ModelSpec

_PADDING_ID = 0


class LogisticRegression(nn.Module):
    """One linear layer. Reads dense inputs, or the compact form of ``fl_app.eicu.representation`` as the same function.

    On the wire it is ``weight`` ``[classes, inputs]`` and ``bias`` ``[classes]`` whichever form a site's data has.
    """

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.weight = nn.Parameter(torch.empty(classes, inputs))
        self.bias = nn.Parameter(torch.zeros(classes))
        nn.init.normal_(self.weight, std=inputs**-0.5)

    def forward(self, features: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Return the scores (logits) ``[B, classes]``.

        Args:
            features: dense ``[B, inputs]``; or ``{"ids": [B, hours, categories], "values": [B, hours, numbers]}``,
                which stands for ``hours * (vocabulary + numbers)`` inputs, id 0 for none of them.
        """
        if isinstance(features, Tensor):
            return functional.linear(features, self.weight, self.bias)
        return self._compact(features["ids"], features["values"])

    def _compact(self, ids: Tensor, values: Tensor) -> Tensor:
        """Sum the weights that the ids point at, instead of multiplying by inputs that are mostly zero."""
        batch, hours, _ = ids.shape
        numbers = values.shape[2]
        width, rest = divmod(self.inputs, hours)
        vocabulary = width - numbers
        if rest or vocabulary <= 0:
            raise PluginError(
                f"logistic_regression has {self.inputs} inputs; the data has {hours} hours of {numbers} numbers.",
                remedy="Set training.model.options.inputs to hours * (vocabulary + numbers) of the data set.",
            )
        start_of_hour = torch.arange(0, self.inputs, width, device=ids.device)[:, None]
        columns = (ids + start_of_hour).reshape(-1)
        is_category = (ids != _PADDING_ID).to(values.dtype).reshape(batch, -1)
        pointed_at = self.weight.index_select(1, columns).view(-1, batch, is_category.shape[1])
        categorical = (pointed_at * is_category).sum(2).T
        of_numbers = self.weight.view(-1, hours, width)[:, :, vocabulary:].reshape(self.weight.shape[0], -1)
        return categorical + functional.linear(values.reshape(batch, -1), of_numbers, self.bias)


def logistic_regression(spec: ModelSpec) -> nn.Module:
    """Make the model; the option ``inputs`` is the number of dense input columns, 22,100 if left out.

    Raises:
        PluginError: an option that the model does not have, or a number of inputs that is not positive.
    """
    inputs = spec.options.get("inputs", 22_100)
    unknown = sorted(set(spec.options) - {"inputs"})
    if unknown or not isinstance(inputs, int) or inputs < 1:
        found = f"options {', '.join(unknown)}" if unknown else f"inputs {inputs!r}"
        raise PluginError(
            f"logistic_regression does not know {found}.", remedy="It has one option: inputs, at least 1."
        )
    return LogisticRegression(inputs, spec.class_num)
