"""What it costs that every round is durable: real runs with checkpoints and without, side by side.

- ``round``: real nodes, 22,100 x 2 weights, 2 sites. Runs with the checkpoint of every round and runs whose aggregator
  does not write any take turns; the cost is the ratio of the medians of a round's seconds, and of a whole run's.
- ``large``: one checkpoint of so many million weights, against a plain write and fsync of as many bytes in the same
  folder (the floor), and what it takes to read it back.

    python benchmarks/bench_rounds.py
    python benchmarks/bench_rounds.py --parts large --millions 25
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

#: ``python -m fl_app`` less its checkpoints: what is measured is their absence.
WITHOUT = """
import runpy, sys
from fl_app.rounds.checkpoint import Checkpoints
Checkpoints.save_later = lambda self, *args, before, **rest: before()
sys.argv[0] = "fl_app"
runpy.run_module("fl_app", run_name="__main__")
"""


def one_run(rounds: int, *, durable: bool) -> list[float]:
    """Run two sites to the end and return each round's seconds, the first left out."""
    from fl_processes import Federation

    class Run(Federation):
        def command(self, node: str) -> list[str]:
            command = super().command(node)
            if durable or node != "aggregator":
                return command
            return [command[0], "-c", WITHOUT, *command[3:]]

    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        options = {"features": 22_100, "samples": 300}
        run = Run(Path(folder), rounds=rounds, options=options, optimizer="sgd", batch_size=32)
        try:
            run.start_all()
            for node in (*run.sites, "aggregator"):
                if run.exit_code(node, 600) != 0:
                    raise SystemExit(run.log(node))
            has_written = any((run.state("aggregator") / "checkpoints").glob("*.checkpoint"))
            # the end of a run is durable in both; between rounds only one of them has written
            if not has_written:
                raise SystemExit("the run has left no note of its end")
            return [record["seconds"] for record in run.rounds()[1:]]
        finally:
            run.end()


def round_(chosen: argparse.Namespace) -> dict[str, Any]:
    """Let runs with and without checkpoints take turns."""
    taken: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(chosen.turns):
        for durable in (True, False):
            taken[durable].append(statistics.median(one_run(chosen.rounds, durable=durable)))
    ratios = [mine / bare for mine, bare in zip(taken[True], taken[False], strict=True)]
    return {
        "rounds": chosen.rounds,
        "turns": chosen.turns,
        "round_ms": round(statistics.median(taken[True]) * 1e3, 2),
        "without_checkpoint_ms": round(statistics.median(taken[False]) * 1e3, 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def large(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Write and read one checkpoint of each size, and as many plain bytes."""
    import torch

    from fl_app.rounds.checkpoint import Checkpoints, Progress

    found = []
    for millions in chosen.millions:
        state = OrderedDict(weight=torch.zeros(millions * 1_000_000))
        with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
            kept = Checkpoints(Path(folder) / "checkpoints", keep=1)
            saved, bare = [], []
            for turn in range(chosen.turns):
                began = time.perf_counter()
                kept.save(Progress("run", "print", turn + 1, False, None, {}, 0.0), state)
                saved.append(time.perf_counter() - began)
                bare.append(_plain(Path(folder) / "plain", state["weight"]))
            began = time.perf_counter()
            if kept.load("print") is None:
                raise SystemExit("the checkpoint is not there")
            loaded = time.perf_counter() - began
        found.append(
            {
                "million_weights": millions,
                "save_s": round(statistics.median(saved), 3),
                "plain_write_s": round(statistics.median(bare), 3),
                "ratio": round(statistics.median(saved) / statistics.median(bare), 2),
                "load_s": round(loaded, 3),
            }
        )
    return found


def _plain(path: Path, tensor: Any) -> float:
    """Write a tensor's bytes and wait until they are durable; return the seconds."""
    began = time.perf_counter()
    with path.open("wb") as file:
        file.write(tensor.numpy().data)
        file.flush()
        os.fsync(file.fileno())
    taken = time.perf_counter() - began
    path.unlink()
    return taken


PARTS: dict[str, Any] = {"round": round_, "large": large}


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=100, metavar="N")
    parser.add_argument("--turns", type=int, default=3, metavar="N", help="of which medians are taken")
    parser.add_argument("--millions", type=int, nargs="+", default=[25, 250], metavar="N", help="of weights")
    chosen = parser.parse_args()
    (ROOT / "build").mkdir(exist_ok=True)
    found: dict[str, Any] = {"benchmark": "rounds", "cores": os.cpu_count()}
    for part in chosen.parts:
        found[part] = PARTS[part](chosen)
        print(f"{part}: {json.dumps(found[part])}", file=sys.stderr, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
