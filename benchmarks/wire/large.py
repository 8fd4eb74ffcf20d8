"""Large models over our wire, and beside it, in turns, over bare streams and plain sockets."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from wire.floor import bare
from wire.process import answer, certificates, free_port, worker


def large(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure each size; the ratios are medians over turns in which all were measured one after the other."""
    found = []
    for millions in chosen.millions:
        turns = [_turn(millions * 1_000_000, chosen.peers) for _ in range(chosen.turns)]
        moved = 2 * millions * 4e6 * chosen.peers
        median = {
            way: {key: statistics.median(turn[way][key] for turn in turns) for key in turns[0][way]} for way in turns[0]
        }
        found.append(
            {
                "million_weights": millions,
                "sites": chosen.peers,
                "turns": chosen.turns,
                **{f"{way}_gb_per_s": round(moved / median[way]["seconds"] / 1e9, 3) for way in median},
                **{f"{way}_cpu_s": round(median[way]["cpu_seconds"], 2) for way in median},
                "of_bare": _ratio(turns, "grpc", "ours"),
                "of_bare_without_audit": _ratio(turns, "grpc", "unrecorded"),
                "with_next_model_encoded_s": round(median["ours"]["seconds_with_next_model"], 3),
                "hub_peak_models": round(max(turn["ours"]["peak_bytes"] for turn in turns) / (millions * 4e6), 2),
                "allowed_models": 4 + chosen.peers,
            }
        )
        print(f"  {found[-1]}", file=sys.stderr, flush=True)
    return found


def _turn(weights: int, peers: int) -> dict[str, dict[str, float]]:
    times = 5 if weights <= 50_000_000 else 3
    measured = {
        "ours": _wire(weights, peers, times),
        "grpc": bare("grpc", weights * 4, peers, times),
        "unrecorded": _wire(weights, peers, times, audit=False),
        "tcp": bare("tcp", weights * 4, peers, times),
    }
    for each in measured.values():
        each["cpu_seconds"] /= times  # of one exchange
    return measured


def _ratio(turns: list[dict[str, dict[str, float]]], above: str, below: str) -> float:
    return round(statistics.median(turn[above]["seconds"] / turn[below]["seconds"] for turn in turns), 3)


def _wire(weights: int, peers: int, times: int, *, audit: bool = True) -> dict[str, float]:
    """Return the hub's figures of exchanges with so many sites, each a process; without audit for its share only."""
    told = "audit" if audit else "no-audit"
    with tempfile.TemporaryDirectory() as folder:
        certificates(Path(folder), peers)
        port = str(free_port())
        hub = worker("hub", port, folder, str(weights), str(peers), str(times), told)
        sites = [worker("site", port, folder, f"site-{number}", told) for number in range(peers)]
        return answer(hub, sites)
