"""What a user's package would add: a tiny data set, two clouds of points that differ from site to site."""

from __future__ import annotations

import time
import zlib

import torch
from torch.utils.data import DataLoader, Dataset

from fl_app.plugins import DatasetSpec, NineParts


class Blobs(Dataset):
    """Points of two classes; ``pause`` seconds are what a batch costs on slow hardware."""

    def __init__(self, seed: int, samples: int, features: int, pause: float) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = (torch.rand(samples, generator=generator) < 0.3).long()
        shift = (self.labels * 2 - 1)[:, None] * 0.3
        self.points = torch.randn(samples, features, generator=generator) + shift
        self.pause = pause

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.points[index], self.labels[index]

    def __getitems__(self, indices: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a whole batch at once."""
        time.sleep(self.pause)
        rows = torch.tensor(indices)
        return self.points[rows], self.labels[rows]


def _as_it_is(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return batch


def blobs(spec: DatasetSpec) -> NineParts:
    """Return the site's clouds; the aggregator's parts are empty."""
    options = {"samples": 64, "features": 10, "pause": 0.0, **spec.options}
    if spec.data_dir is None:
        return 0, 0, 0, None, None, {}, {}, {}, 2
    seed = zlib.crc32(spec.site.encode()) + spec.seed
    size, features = options["samples"], options["features"]
    train = DataLoader(Blobs(seed, size, features, options["pause"]), batch_size=spec.batch_size, collate_fn=_as_it_is)
    test = DataLoader(Blobs(seed + 1, 40, features, 0.0), batch_size=64, collate_fn=_as_it_is)
    return 1, size, 40, train, test, {0: size}, {0: train}, {0: test}, 2


class Broken:
    """An aggregation that returns what is not the model."""

    def __init__(self, options: object) -> None:
        del options

    def aggregate(self, global_state: object, updates: object) -> dict[str, torch.Tensor]:
        del global_state, updates
        return {"weight": torch.zeros(1)}
