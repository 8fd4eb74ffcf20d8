"""What the compact representation saves: memory and time of an epoch, against dense tensors and one-hot by sample.

27,000 samples (--samples) of the benchmark's 50 x 442 = 22,100 inputs, logistic regression, SGD, batches of 128. Each
way of feeding the same model runs in a process of its own:

- ``compact``: 7 ids and 13 numbers per hour, as a site's data set holds them;
- ``dense``: the 22,100 floats of every sample in memory;
- ``one_hot_by_sample``: a data set that makes the 22,100 floats when a sample is asked for, as the blog's does.

All see the same samples in the same order, so their loss curves must agree.

    python benchmarks/bench_training.py --samples 27000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

WAYS = ("compact", "dense", "one_hot_by_sample")

MEASURE = """
import json, resource, sys, time
import torch
from torch.utils.data import DataLoader, Dataset
from fl_app.eicu.dataset import EicuDataset
from fl_app.eicu.encode import Encoded
from fl_app.eicu.representation import BENCHMARK, to_dense
from fl_app.eicu.vocabulary import fixed_vocabulary
from fl_app.learning.models import LogisticRegression

way, samples, epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(2)
torch.manual_seed(0)
fields = fixed_vocabulary().fields
ids = torch.stack([torch.randint(f.first, f.first + f.size, (samples, 50)) for f in fields], 2)
values = torch.randn(samples, 50, 13) * 0.4
real = torch.randint(15, 49, (samples,))
padded = torch.arange(50)[None, :] >= real[:, None]
ids[padded] = 0
values[padded] = 0
signal = values[:, :15, 3].mean(1) + 0.3 * torch.randn(samples)
labels = (signal > signal.quantile(0.9)).long()
small = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

class OneHot(Dataset):
    def __len__(self):
        return samples
    def __getitem__(self, i):
        return to_dense({"ids": ids[i : i + 1], "values": values[i : i + 1]})[0], labels[i]

if way == "compact":
    nothing = torch.zeros(samples, dtype=torch.int64)
    data, collate = EicuDataset(Encoded(ids.short(), values, labels, nothing, nothing)), lambda batch: batch
    held = ids.nbytes // 4 + values.nbytes
elif way == "dense":
    dense = torch.empty(samples, BENCHMARK.inputs)
    for start in range(0, samples, 500):
        part = slice(start, start + 500)
        dense[part] = to_dense({"ids": ids[part], "values": values[part]})
    held = dense.nbytes
    class Gather(Dataset):
        def __len__(self):
            return samples
        def __getitems__(self, rows):
            rows = torch.tensor(rows)
            return dense[rows], labels[rows]
    data, collate = Gather(), lambda batch: batch
else:
    data, collate, held = OneHot(), None, ids.nbytes + values.nbytes

torch.manual_seed(1)
model = LogisticRegression(BENCHMARK.inputs, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
losses, seconds = [], []
for epoch in range(epochs):
    order = torch.randperm(samples, generator=torch.Generator().manual_seed(epoch)).tolist()
    began, total = time.perf_counter(), 0.0
    for features, truth in DataLoader(data, batch_size=128, sampler=order, collate_fn=collate):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(features), truth)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(truth)
    seconds.append(time.perf_counter() - began)
    losses.append(total / samples)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"epoch_seconds": round(min(seconds), 3), "data_mib": round(held / 2**20, 1),
                  "peak_mib": round(peak / 1024), "losses": losses}))
"""


def measured(way: str, samples: int, epochs: int) -> dict[str, Any]:
    """Train one way in a process of its own."""
    command = [sys.executable, "-c", MEASURE, way, str(samples), str(epochs)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=27_000, metavar="N")
    parser.add_argument("--epochs", type=int, default=3, metavar="N", help="the fastest counts (default 3)")
    parsed = parser.parse_args()
    ways = {}
    for way in WAYS:
        ways[way] = measured(way, parsed.samples, parsed.epochs)
        print(f"{way}: {ways[way]}", file=sys.stderr)
    compact, dense, one_hot = (ways[way] for way in WAYS)
    gap = max(abs(a - b) for way in (dense, one_hot) for a, b in zip(compact["losses"], way["losses"], strict=True))
    print(
        json.dumps(
            {
                "benchmark": "training",
                "samples": parsed.samples,
                "ways": ways,
                "data_times_smaller_than_dense": round(dense["data_mib"] / compact["data_mib"], 1),
                "epoch_times_faster_than_dense": round(dense["epoch_seconds"] / compact["epoch_seconds"], 2),
                "epoch_times_faster_than_one_hot": round(one_hot["epoch_seconds"] / compact["epoch_seconds"], 2),
                "largest_loss_difference": gap,
            }
        )
    )


if __name__ == "__main__":
    main()
