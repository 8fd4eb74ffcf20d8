"""A site's batches as tensors that can be put together with another's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, SequentialSampler

from fl_app.errors import PluginError
from fl_app.learning.targets import federation_counts


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples in one piece. ``features`` are ``{name: [N, ...]}``; one name, ``""``, for bare tensors.

    ``class_counts`` are the federation's class frequencies where the data set knows them.
    """

    features: dict[str, Tensor]
    labels: Tensor
    class_counts: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)


class _Gathered(Dataset[Any]):
    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self.class_counts = samples.class_counts

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> Any:
        rows = torch.tensor(indices)
        features = {name: values[rows] for name, values in self._samples.features.items()}
        return features.get("", features), self._samples.labels[rows]


def gather(batches: Any) -> Samples:
    """Put a loader's batches together, in the data set's own order.

    Raises:
        PluginError: there is no sample, or the batches' shapes do not fit together.
    """
    pieces = list(_in_order(batches))
    if not pieces:
        raise PluginError("a site has no samples to compare with.", remedy="Does its folder hold its data?")
    as_dicts = [(features if isinstance(features, dict) else {"": features}, labels) for features, labels in pieces]
    try:
        features = {name: torch.cat([part[name] for part, _ in as_dicts]) for name in as_dicts[0][0]}
    except (RuntimeError, KeyError) as error:
        raise PluginError(
            f"batches do not fit together: {error}.",
            remedy="Comparing with a pooled model needs features of one shape at all sites.",
        ) from error
    return Samples(features, torch.cat([labels for _, labels in as_dicts]), federation_counts(batches))


def pooled(parts: Sequence[Samples]) -> Samples:
    """Put sites' samples together, in the order given."""
    names = parts[0].features
    return Samples(
        {name: torch.cat([part.features[name] for part in parts]) for name in names},
        torch.cat([part.labels for part in parts]),
        parts[0].class_counts,
    )


def loader(samples: Samples, batch_size: int) -> DataLoader[Any]:
    """Return batches of the samples; :func:`fl_app.learning.fit.fit` shuffles them."""
    return DataLoader(_Gathered(samples), batch_size=batch_size, collate_fn=_as_it_is)


def _in_order(batches: Iterable[Any]) -> Iterable[Any]:
    if not isinstance(batches, DataLoader) or isinstance(batches.dataset, IterableDataset):
        return batches
    return DataLoader(
        batches.dataset,
        batch_size=batches.batch_size,
        sampler=SequentialSampler(batches.dataset),  # type: ignore[arg-type]
        collate_fn=batches.collate_fn,
    )


def _as_it_is(batch: Any) -> Any:
    return batch
