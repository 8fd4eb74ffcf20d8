"""Handwritten digits, read by a neural network: a use case of one's own, in one file.

A data set, a model and an aggregation, which ``pyproject.toml`` names as entry points, and a command that deals the
digits to sites: ``python federate_digits.py north east south --out data``. Each site gets mostly digits of its own
range, so no site alone learns to read all ten well.

Data: "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, UCI, CC BY 4.0), 1,797 images of 8 x 8 pixels
from 0 to 16, as they come with scikit-learn.
"""

import argparse
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fl_app.plugins import DatasetSpec, ModelSpec, NineParts, Update

FILE = "digits.csv"
PIXELS, DIGITS = 64, 10
HELD_OUT = 5
"""One row in five is held out; rows are sorted by digit, so every digit is on both sides."""


def load(spec: DatasetSpec) -> NineParts:
    """Return a site's digits as FedML's nine parts; on the aggregator, which holds no data, empty ones."""
    rows = np.empty((0, PIXELS + 1), np.float32)
    if spec.data_dir is not None:
        rows = np.loadtxt(spec.data_dir / FILE, np.float32, delimiter=",", ndmin=2)
    is_held_out = np.arange(len(rows)) % HELD_OUT == 0
    train, test = _batches(rows[~is_held_out], spec.batch_size), _batches(rows[is_held_out], spec.batch_size)
    own, number = 0, int((~is_held_out).sum())
    return 1, number, len(rows) - number, train, test, {own: number}, {own: train}, {own: test}, DIGITS


def _batches(rows: np.ndarray, size: int) -> DataLoader[Any]:
    pixels, digits = torch.from_numpy(rows[:, :PIXELS]) / 16, torch.from_numpy(rows[:, PIXELS]).long()
    return DataLoader(TensorDataset(pixels, digits), batch_size=size)


def network(spec: ModelSpec) -> nn.Module:
    """Make a network with one hidden layer; the option ``hidden`` is its width."""
    hidden = int(spec.options.get("hidden", 32))
    return nn.Sequential(nn.Linear(PIXELS, hidden), nn.ReLU(), nn.Linear(hidden, spec.class_num))


class Median:
    """The median of the sites' weights, one by one: a single site that sends nonsense does not move it far.

    Source: Yin et al., "Byzantine-Robust Distributed Learning", ICML 2018, option I.
    """

    def __init__(self, options: Mapping[str, object]) -> None:
        """Take no options."""

    def aggregate(self, global_state: OrderedDict[str, Tensor], updates: Sequence[Update]) -> OrderedDict[str, Tensor]:
        """Return the median over the updates; of an even number, the mean of the two in the middle."""
        each = {name: torch.stack([update.state[name] for update in updates]) for name in global_state}
        return OrderedDict((name, values.quantile(0.5, dim=0)) for name, values in each.items())


def deal(sites: Sequence[str], out: Path, seed: int = 0) -> None:
    """Write ``<out>/<site>/digits.csv``: 64 pixels and the digit per row; three in five are of the site’s range."""
    from sklearn.datasets import load_digits  # where the digits are dealt, not on a node

    pixels, digits = load_digits(return_X_y=True)
    random = np.random.default_rng(seed)
    own = digits * len(sites) // DIGITS
    anywhere = random.integers(len(sites), size=len(digits))
    owner = np.where(random.random(len(digits)) < 0.6, own, anywhere)
    rows = np.column_stack([pixels, digits]).astype(int)
    order = digits.argsort(kind="stable")
    for number, site in enumerate(sites):
        (out / site).mkdir(parents=True, exist_ok=True)
        np.savetxt(out / site / FILE, rows[order[owner[order] == number]], fmt="%d", delimiter=",")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Deal the digits to sites.")
    parser.add_argument("sites", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    deal(chosen.sites, chosen.out)
