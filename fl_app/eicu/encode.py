"""From hourly rows to the compact tensors of :mod:`fl_app.eicu.representation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor

from fl_app.eicu.representation import BENCHMARK, Layout, SparseBatch
from fl_app.eicu.variables import CLINICAL_RANGES, NUMERIC
from fl_app.eicu.vocabulary import Vocabulary, fixed_vocabulary


@dataclass(frozen=True, slots=True)
class Encoded:
    """Samples as tensors: ids ``[N, hours, categories]``, values ``[N, hours, numbers]``, labels ``[N]`` or ``[N, K]``.

    Here ids are int16, a quarter of the int64 that a batch's are. ``stays`` and ``hospitals`` are the patientunitstayid
    and the hospitalid of each of the N, in order.
    """

    ids: Tensor
    values: Tensor
    labels: Tensor
    stays: Tensor
    hospitals: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def of_hospitals(self, hospitals: list[int]) -> Encoded:
        """Return the samples of these hospitals, in the same order."""
        mine = torch.isin(self.hospitals, torch.tensor(hospitals, dtype=torch.int64))
        return Encoded(self.ids[mine], self.values[mine], self.labels[mine], self.stays[mine], self.hospitals[mine])

    def features(self) -> SparseBatch:
        """Return all samples as one batch."""
        return {"ids": self.ids.long(), "values": self.values}


def encode(
    rows: pl.DataFrame,
    labels: pl.DataFrame,
    *,
    ranges: Mapping[str, tuple[float, float]] = CLINICAL_RANGES,
    vocabulary: Vocabulary | None = None,
    layout: Layout = BENCHMARK,
    indicators: Sequence[str] = (),
    key: str = "patientunitstayid",
) -> Encoded:
    """Encode samples.

    A sample's hours stand one after the other from position 0, without gaps for hours that have no row; what is left of
    the ``layout.hours`` positions is padding, and hours beyond them are left out.

    Args:
        rows: (``key``, patientunitstayid, hour, hospitalid, the 20 variables), already cut to the task, sorted by
            sample and hour.
        labels: (``key``, label), see :class:`fl_app.eicu.tasks.Samples`; without rows there is no sample.
        ranges: per numeric variable what scales to -1 and 1.
        vocabulary: the category ids; the fixed ones if left out.
        layout: the sizes.
        indicators: further columns of ``rows``, taken as they are, after the 13 numbers.
        key: the column that tells samples apart; each stay is one if left out.

    Returns:
        One sample per key that has rows, in the order of ``rows``.
    """
    words = vocabulary or fixed_vocabulary()
    rows = rows.with_columns(position=pl.int_range(pl.len()).over(key)).filter(pl.col("position") < layout.hours)
    samples = rows.unique(key, keep="first", maintain_order=True).select(
        pl.col(key), pl.col("patientunitstayid").alias("stay"), "hospitalid", number=pl.int_range(pl.len())
    )
    samples = samples.join(labels, on=key, how="left", maintain_order="left")
    number = rows.join(samples, on=key, how="left", maintain_order="left")["number"].to_numpy()
    place = number * layout.hours + rows["position"].to_numpy()
    ids = np.zeros((samples.height * layout.hours, layout.categories), dtype=np.int16)
    ids[place] = words.ids(rows).to_numpy()
    values = np.zeros((samples.height * layout.hours, layout.numbers), dtype=np.float32)
    numbers = [_scaled(name, *ranges[name]) for name in NUMERIC]
    values[place] = rows.select(*numbers, *(pl.col(name).cast(pl.Float32) for name in indicators)).to_numpy()
    shape = (samples.height, layout.hours, -1)
    return Encoded(
        torch.from_numpy(ids).view(shape),
        torch.from_numpy(values).view(shape),
        torch.from_numpy(samples["label"].to_numpy(writable=True)),
        torch.from_numpy(samples["stay"].to_numpy(writable=True)),
        torch.from_numpy(samples["hospitalid"].to_numpy(writable=True)),
    )


def _scaled(name: str, low: float, high: float) -> pl.Expr:
    return (2 * (pl.col(name) - low) / (high - low) - 1).cast(pl.Float32).alias(name)
