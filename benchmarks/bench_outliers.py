"""Does a poisoned site stand out, and are honest hospitals that differ left alone? Simulated, logistic regression.

Every run draws sites of unlike size (log-normal, 30 to 3,000 samples) and one kind of difference: shifted inputs with
relations of their own, other base rates, both, or one site whose relation is another altogether. FedAvg trains for 50
rounds with SGD or Adam; every update of every round is judged by ``fl_app.learning.outliers``. A site is named, as in
the report, if it is flagged in more than half of the rounds. Then one site of seven multiplies what it has learned.

    python benchmarks/bench_outliers.py --seeds 12
"""

from __future__ import annotations

import argparse
from collections import Counter, OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from fl_app.learning.outliers import judge, sketch

KINDS = ("shifted", "base rates", "both", "one odd")
INPUTS, BATCH, ROUNDS = 200, 32, 50


@dataclass(frozen=True)
class Site:
    """A hospital's data: inputs [samples, INPUTS], labels [samples] of 0 and 1."""

    inputs: torch.Tensor
    labels: torch.Tensor

    @property
    def samples(self) -> int:
        """How many there are."""
        return len(self.labels)


def sites(draw: np.random.Generator, count: int, kind: str) -> list[Site]:
    """Return hospitals that differ in one way."""
    sizes = np.exp(draw.normal(5.5, 0.9, count)).astype(int).clip(30, 3000)
    relation, made = draw.normal(size=INPUTS), []
    for number, size in enumerate(sizes):
        is_shifted = kind in ("shifted", "both")
        centre = draw.normal(size=INPUTS) * (0.7 if is_shifted else 0.1)
        own = relation + draw.normal(size=INPUTS) * is_shifted
        if kind == "one odd" and number == 0:
            own = draw.normal(size=INPUTS)
        base = draw.normal() * 2 if kind in ("base rates", "both") else -1.0
        inputs = draw.normal(size=(size, INPUTS)) + centre
        chance = 1 / (1 + np.exp(-(inputs @ own / np.sqrt(INPUTS) * 3 + base)))
        labels = draw.random(size) < chance
        made.append(Site(torch.from_numpy(inputs).float(), torch.from_numpy(labels).float()))
    return made


def fitted(site: Site, start: torch.Tensor, optimizer: str) -> torch.Tensor:
    """Return a site's weights [INPUTS + 1] after an epoch."""
    weights = start.clone().requires_grad_(True)
    steps = torch.optim.Adam([weights], lr=0.01) if optimizer == "adam" else torch.optim.SGD([weights], lr=0.1)
    for first in range(0, site.samples, BATCH):
        steps.zero_grad()
        scores = site.inputs[first : first + BATCH] @ weights[:-1] + weights[-1]
        binary_cross_entropy_with_logits(scores, site.labels[first : first + BATCH]).backward()
        steps.step()
    return weights.detach()


def flagged(seed: int, count: int, kind: str, optimizer: str, factor: float = 1.0) -> Counter[int]:
    """Return in how many rounds each site was flagged; the last site multiplies its change by ``factor``."""
    made = sites(np.random.default_rng(seed), count, kind)
    weights, found = torch.zeros(INPUTS + 1), Counter[int]()
    samples = {str(number): site.samples for number, site in enumerate(made)}
    shares = torch.tensor([site.samples for site in made]) / sum(samples.values())
    for _ in range(ROUNDS):
        changes = torch.stack([fitted(site, weights, optimizer) - weights for site in made])
        changes[-1] *= factor
        before = OrderedDict(w=weights)
        sketches = {name: sketch(before, OrderedDict(w=weights + changes[int(name)])) for name in samples}
        found.update(int(name) for name, verdict in judge(sketches, samples).items() if verdict.outlier)
        weights = weights + (shares[:, None] * changes).sum(0)
    return found


def main() -> None:
    """Print a table of honest runs, then one of poisoned runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=12)
    seeds = range(parser.parse_args().seeds)
    torch.set_num_threads(1)
    print("honest: sites, optimizer, updates, flagged, sites named")
    for count in (3, 7, 12):
        for optimizer in ("sgd", "adam"):
            runs = [flagged(seed, count, KINDS[seed % len(KINDS)], optimizer) for seed in seeds]
            named = sum(times > ROUNDS / 2 for run in runs for times in run.values())
            updates = len(seeds) * count * ROUNDS
            print(f"{count:3} {optimizer:5} {updates:7} {sum(map(Counter.total, runs)):5} {named:4}", flush=True)
    print("one of seven multiplies its change: optimizer, factor, rounds in which it is flagged (of 50), others named")
    for optimizer in ("sgd", "adam"):
        for factor in (-10.0, -1.0, 10.0):
            runs = [flagged(seed, 7, KINDS[seed % len(KINDS)], optimizer, factor) for seed in seeds]
            hits = sorted(run[6] for run in runs)
            named = sum(times > ROUNDS / 2 for run in runs for site, times in run.items() if site != 6)
            print(f"{optimizer:5} {factor:5g}  {' '.join(map(str, hits))}  {named}", flush=True)


if __name__ == "__main__":
    main()
