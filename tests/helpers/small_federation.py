"""A federation in one process: real trainers and a real aggregator, least squares in float64, full batches.

A site's loss is ``mean((X w - y)^2)`` over its own rows, so an epoch is one exact gradient step, and everything that
an algorithm does can be worked out again in numpy from the paper alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from fl_app import engine
from fl_app.config import Training
from fl_app.learning.aggregator import GlobalModel, RosterAggregator
from fl_app.learning.trainer import SiteTrainer
from fl_app.plugins import load_plugin

State = OrderedDict[str, torch.Tensor]
Sites = Mapping[str, tuple[np.ndarray, np.ndarray]]
FEATURES = 3
torch.set_num_threads(1)  # so small a problem gains nothing by more, and loses much on a busy machine
TRAINING = Training(1, 5, 1000, 0.05, "sgd", 0.0, "none", 0)


class Line(nn.Module):
    """``X w``, without a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, FEATURES, dtype=torch.float64))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(features, self.weight)


def different_sites(count: int = 3, seed: int = 0, apart: float = 2.0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return sites whose curvatures and optima differ: (X, y) each, 20, 30, … rows; their optima lie ``apart``."""
    draw = np.random.default_rng(seed)
    common = draw.normal(size=FEATURES) * 3
    made = {}
    for number in range(count):
        rows = draw.normal(size=(20 + 10 * number, FEATURES)) * draw.uniform(0.6, 1.2, FEATURES)
        made[f"site-{number}"] = (rows, rows @ (common + apart * draw.normal(size=FEATURES)))
    return made


def optimum(sites: Sites, weights: Sequence[float]) -> np.ndarray:
    """Return where the weighted sum of the sites' losses is least."""
    curvature = sum(w * x.T @ x / len(y) for w, (x, y) in zip(weights, sites.values(), strict=True))
    slope = sum(w * x.T @ y / len(y) for w, (x, y) in zip(weights, sites.values(), strict=True))
    return np.asarray(np.linalg.solve(curvature, slope))


def gradient(site: tuple[np.ndarray, np.ndarray], w: np.ndarray) -> np.ndarray:
    """Return the gradient of a site's loss."""
    rows, targets = site
    return np.asarray(2 * rows.T @ (rows @ w - targets) / len(targets))


def descend(site: tuple[np.ndarray, np.ndarray], start: np.ndarray, steps: int = 5, rate: float = 0.05) -> np.ndarray:
    """Return where plain gradient descent of a site ends: FedAvg's fit, worked out independently."""
    w = start.copy()
    for _ in range(steps):
        w = w - rate * gradient(site, w)
    return w


class SmallFederation:
    """The aggregator and the sites of one run."""

    def __init__(self, sites: Sites, aggregation: str, training: Training = TRAINING, **options: Any) -> None:
        self.sites, self.roster = sites, tuple(sites)
        make = load_plugin("federate.aggregations", aggregation)
        args = engine.arguments({"dataset": "lines", "worker_num": len(sites)}, rank=0, device="cpu")
        self.aggregator = RosterAggregator(
            self.roster, "cpu", args, GlobalModel(Line(), args, aggregation=make(dict(options)))
        )
        self.aggregator.prepare(len(sites))
        self.args = engine.arguments({"dataset": "lines", "worker_num": 1}, rank=1, device="cpu")
        self.args.round_idx = 0
        self.trainers = {
            site: SiteTrainer(
                Line(),
                self.args,
                site=site,
                training=training,
                train_data=None,
                classes=1,
                aggregation=make(dict(options)),
            )
            for site in sites
        }

    @property
    def w(self) -> np.ndarray:
        """The global weights, [FEATURES]."""
        return np.asarray(self.aggregator.get_global_model_params()["weight"].numpy()[0]).copy()

    def fit(self, site: str) -> State:
        """Return what a site answers."""
        trainer = self.trainers[site]
        trainer.set_model_params(self.aggregator.get_global_model_params())
        rows, targets = (torch.from_numpy(part) for part in self.sites[site])
        trainer.train([(rows, targets)], "cpu", self.args)
        return trainer.get_model_params()

    def round(self, order: Sequence[int] | None = None, poison: Mapping[str, float] | None = None) -> np.ndarray:
        """Run a round; answers come in ``order``, and a poisoned site's change is multiplied by its factor."""
        before = self.aggregator.get_global_model_params()
        for index in order if order is not None else range(len(self.roster)):
            site = self.roster[index]
            answer = self.fit(site)
            if poison and site in poison:
                answer["weight"] = before["weight"] + poison[site] * (answer["weight"] - before["weight"])
            self.aggregator.add_local_trained_result(index, answer, len(self.sites[site][1]))
        self.aggregator.aggregate()
        self.args.round_idx += 1
        return self.w
