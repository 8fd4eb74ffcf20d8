"""Rounds of real nodes, ``python -m fl_app``: a round less its fit, each compression, many sites, and waiting."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wire.floor import bare
from wire.process import ms, swarms, worker

#: The job of ``bench_peers.py``: 22,100 inputs, 2 classes, 300 samples a site, batches of 32, SGD.
JOB: dict[str, Any] = {"options": {"features": 22_100, "samples": 300}, "optimizer": "sgd", "batch_size": 32}
MODEL_BYTES = 22_100 * 2 * 4 + 8
_GROWTH_ROUNDS = 30


@contextmanager
def finished(rounds: int, **settings: Any) -> Iterator[Any]:
    """Run two real sites to the end of the job, and hand the federation over for its records."""
    from fl_processes import Federation

    with tempfile.TemporaryDirectory() as folder:
        run = Federation(Path(folder), rounds=rounds, **JOB, **settings)
        try:
            run.start_all()
            for node in (*run.sites, "aggregator"):
                assert run.exit_code(node, 300) == 0, run.log(node)
            yield run
        finally:
            run.end()


def without_fit(records: list[dict[str, Any]]) -> list[float]:
    """Return each round's seconds less those of its longest fit."""
    return [record["seconds"] - max(site["fit_seconds"] for site in record["sites"]) for record in records]


def small_round(chosen: argparse.Namespace) -> dict[str, Any]:
    """Two real sites and their floor."""
    with finished(chosen.rounds) as run:
        records = run.rounds()[1:]
    rest = without_fit(records)
    return {
        "rounds": len(records),
        "round_ms": ms(statistics.median(record["seconds"] for record in records)),
        "fit_ms": ms(statistics.median(max(site["fit_seconds"] for site in record["sites"]) for record in records)),
        "round_less_fit_ms": ms(statistics.median(rest)),
        "round_less_fit_ms_p10": ms(sorted(rest)[int(len(rest) * 0.1)]),
        "round_less_fit_ms_p90": ms(sorted(rest)[int(len(rest) * 0.9)]),
        "floor_ms": ms(bare("grpc", MODEL_BYTES, 2, chosen.rounds)["seconds"]),
    }


def compression(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """The same run with each compression: bytes of an update and of a task, time of a round, and the final loss."""
    found = []
    for name in ("none", "bfloat16", "float16", "zstd"):
        with finished(chosen.rounds, compression=name) as run:
            records = run.rounds()
            lines = (run.state("site-a") / "audit.jsonl").read_text().splitlines()
        told = [json.loads(line) for line in lines]
        update = [line["bytes"] for line in told if (line["direction"], line.get("kind")) == ("sent", "update")]
        task = [line["bytes"] for line in told if (line["direction"], line.get("kind")) == ("received", "sync")]
        found.append(
            {
                "compression": name,
                "update_bytes": round(statistics.mean(update)),
                "task_bytes": round(statistics.mean(task)),
                "round_less_fit_ms": ms(statistics.median(without_fit(records[1:]))),
                "test_loss": records[-1]["federated"]["test_loss"],
                "auroc": records[-1]["federated"]["auroc"],
            }
        )
        print(f"  {found[-1]}", file=sys.stderr, flush=True)
    return found


def growth(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Rounds of a real aggregator with many sites that answer at once, sixteen in a process.

    ``hub_cpu_ms_a_site`` is what the aggregator computes for one site in one round; it says more than the time on the
    wall where sites and aggregator share the cores.
    """
    from fl_processes import Federation

    found = []
    for count in chosen.sites:
        sites = tuple(f"site-{number}" for number in range(count))
        with tempfile.TemporaryDirectory() as folder:
            run = Federation(Path(folder), sites, rounds=_GROWTH_ROUNDS, options={"features": 22_100})
            others = [worker("swarm", str(run.port), str(run.root), *part) for part in swarms(count)]
            try:
                run.start("aggregator")
                computed = _computed(run) / count
                assert run.exit_code("aggregator", 300) == 0, run.log("aggregator")
                seconds = statistics.median(record["seconds"] for record in run.rounds()[1:])
            finally:
                for other in others:
                    other.kill()
                    other.wait()
                run.end()
        floor = bare("swarm", MODEL_BYTES, count, _GROWTH_ROUNDS)["seconds"]
        found.append(
            {
                "sites": count,
                "round_ms": ms(seconds),
                "floor_ms": ms(floor),
                "ms_a_site": ms(seconds / count),
                "floor_ms_a_site": ms(floor / count),
                "hub_cpu_ms_a_site": ms(computed),
            }
        )
        print(f"  {found[-1]}", file=sys.stderr, flush=True)
    return found


def _computed(run: Any) -> float:
    """Return the seconds that the aggregator computes in a round, from its fourth to its last but one."""
    import psutil
    from fl_processes import wait_until

    hub = psutil.Process(run._processes["aggregator"].pid)
    seen = []
    for round_ in (3, _GROWTH_ROUNDS - 2):
        wait_until(lambda due=round_: run.progress().get("round", 0) >= due, seconds=300)
        seen.append((run.progress()["round"], sum(hub.cpu_times()[:2])))
    return float((seen[1][1] - seen[0][1]) / (seen[1][0] - seen[0][0]))


def idle(chosen: argparse.Namespace) -> dict[str, float]:
    """Share of a core, in percent, of nodes that wait."""
    import psutil
    from fl_processes import Federation

    with tempfile.TemporaryDirectory() as folder:
        run = Federation(Path(folder), rounds=3)
        try:
            run.start("aggregator", "site-a")
            run.wait_for_log("aggregator", "round 1 waits for site-b (not connected)")
            time.sleep(2)
            processes = {node: psutil.Process(run._processes[node].pid) for node in ("aggregator", "site-a")}
            began = {node: sum(process.cpu_times()[:2]) for node, process in processes.items()}
            time.sleep(20)
            return {
                node: round((sum(process.cpu_times()[:2]) - began[node]) / 20 * 100, 3)
                for node, process in processes.items()
            }
        finally:
            run.end()
