"""How an hour of a stay is written for a model: a few indices and numbers instead of 442 mostly zero inputs.

The layout, in full
-------------------
A batch of ``B`` stays is the dict

- ``"ids"``: LongTensor ``[B, hours, categories]`` (benchmark: ``[B, 50, 7]``), one category id per field and hour,
  ``0 <= id < vocabulary`` (429). Ids of different fields never overlap: a field's block is part of the vocabulary.
- ``"values"``: FloatTensor ``[B, hours, numbers]`` (benchmark: ``[B, 50, 13]``), scaled to about -1..1.

The dense input that this stands for has ``hours * width`` columns with ``width = vocabulary + numbers`` (50 x 442 =
22,100). Hour ``h`` owns the columns ``h * width .. (h + 1) * width - 1``:

- ``h * width + id`` is 1 for every id of that hour other than 0, else 0 (seven ones in a real hour);
- ``h * width + vocabulary + k`` is ``values[b, h, k]``.

**Id 0 is padding and contributes nothing**: the column ``h * width + 0`` is 0 in every sample, so its weight never
sees a gradient. An hour that is padding has all ids 0 and all values 0.0, hence an all-zero block. A category that
the vocabulary does not know is not padding: it has the "unknown" id of its field (:mod:`fl_app.eicu.vocabulary`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor

PADDING_ID = 0


class SparseBatch(TypedDict):
    """Stays in the compact form; the module's docstring has the layout."""

    ids: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True)
class Layout:
    """The sizes of the compact form and of the dense input that it stands for."""

    hours: int = 50
    categories: int = 7
    vocabulary: int = 429
    numbers: int = 13

    @property
    def width(self) -> int:
        """Dense columns per hour."""
        return self.vocabulary + self.numbers

    @property
    def inputs(self) -> int:
        """Dense columns per sample."""
        return self.hours * self.width


BENCHMARK = Layout()


def to_dense(batch: SparseBatch, layout: Layout = BENCHMARK) -> Tensor:
    """Expand stays to the dense inputs that they stand for: the reference for every model that reads them directly.

    Args:
        batch: ids ``[B, hours, categories]`` and values ``[B, hours, numbers]``.
        layout: the sizes.

    Returns:
        FloatTensor ``[B, layout.inputs]``.
    """
    ids, values = batch["ids"], batch["values"]
    hot = torch.zeros(*ids.shape[:2], layout.vocabulary, dtype=values.dtype, device=values.device)
    hot.scatter_(2, ids, 1.0)
    hot[..., PADDING_ID] = 0.0
    return torch.cat((hot, values), dim=2).flatten(1)
