"""A site's held-out samples: every round evaluates on the same, so where they are few they are put together once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, SequentialSampler

#: Bytes that batches may take to be kept; more are read again in every round.
LIMIT = 32 << 20

Batch = tuple[Tensor | Mapping[str, Tensor], Tensor]


class HeldOut:
    """Batches of (features, labels) that are kept while nobody has changed them.

    Kept is what a ``DataLoader`` gives in the order of a map-style data set; any other iterable of batches may give
    others each time, and is read each time.
    """

    def __init__(self, batches: Iterable[Batch], *, limit: int = LIMIT) -> None:
        """Read these batches when they are asked for, and keep at most so many bytes."""
        self.source, self._limit = batches, limit if _is_fixed(batches) else 0
        self._kept: list[Batch] = []
        self._kept_tensors: list[tuple[Tensor, int]] = []

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches."""
        if self._kept and all(tensor._version == version for tensor, version in self._kept_tensors):
            yield from self._kept
            return
        self._kept, self._kept_tensors = [], []
        kept: list[Batch] = []
        # A model that changes its input in place changes what would be kept: a tensor's version tells.
        versions: list[tuple[Tensor, int]] = []
        left = self._limit
        source = iter(self.source)
        while True:
            with torch.inference_mode(mode=False):  # tensors that are made in it have no versions
                batch = next(source, None)
            if batch is None:
                break
            left -= sum(tensor.nbytes for tensor in _tensors(batch))
            if left < 0:
                kept, versions = [], []
            else:
                kept.append(batch)
                versions += [(tensor, tensor._version) for tensor in _tensors(batch)]
            yield batch
        self._kept, self._kept_tensors = kept, versions


def _is_fixed(batches: Any) -> bool:
    """Say whether the batches are the same each time, as far as torch's own classes tell."""
    if not isinstance(batches, DataLoader) or isinstance(batches.dataset, IterableDataset):
        return False
    return batches.batch_size is not None and isinstance(batches.sampler, SequentialSampler)


def _tensors(batch: Batch) -> Iterator[Tensor]:
    features, labels = batch
    yield from features.values() if isinstance(features, Mapping) else (features,)
    yield labels
