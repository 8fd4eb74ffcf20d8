"""The job that all run: logistic regression over 22,100 inputs, 300 samples a site, SGD, one epoch, plain torch.

Each fit appends when it began and ended to the file ``BENCH_TIMES``, so that rounds are measured alike everywhere: a
round is from one fit's beginning to the next one's at the same site.
"""

import json
import os
import time
from pathlib import Path

import torch

INPUTS, CLASSES, SAMPLES, BATCH = 22_100, 2, 300, 32


def model() -> torch.nn.Module:
    """Return the model, the same weights everywhere."""
    torch.manual_seed(0)
    return torch.nn.Linear(INPUTS, CLASSES)


def data(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a site's samples."""
    draw = torch.Generator().manual_seed(seed)
    points = torch.randn(SAMPLES, INPUTS, generator=draw)
    return points, (points[:, :64].sum(1) > 0).long()


def fit(net: torch.nn.Module, points: torch.Tensor, labels: torch.Tensor) -> None:
    """Fit for a round, and note when."""
    began = time.time()
    torch.set_num_threads(1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for start in range(0, SAMPLES, BATCH):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(points[start : start + BATCH]), labels[start : start + BATCH]).backward()
        optimizer.step()
    note(began, time.time())


def note(began: float, ended: float) -> None:
    """Append to this site's file."""
    with Path(os.environ["BENCH_TIMES"]).open("a") as file:
        file.write(json.dumps([began, ended]) + "\n")
