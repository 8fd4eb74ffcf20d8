"""A federation of real processes on loopback: run files, certificates, start, kill, wait."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from authority import Authority

PLUGINS = Path(__file__).parent / "plugins"
PLANNED = "10.30.0.10:8890"
#: Settings that only the aggregator's run files have.
SERVER_ONLY = ("quorum", "round_deadline_seconds", "selection", "fraction", "checkpoints_kept", "early_stopping")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], Any], *, seconds: float = 60.0, what: str = "the condition") -> Any:
    """Wait for something to become true and return it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come about in {seconds:g} s")


def run_files(
    node: str,
    *,
    role: str,
    roster: tuple[str, ...],
    federation: str = "test",
    rounds: int = 3,
    seed: int = 0,
    batch_size: int = 16,
    options: dict[str, Any] | None = None,
    **own: Any,
) -> dict[str, str]:
    """Return a node's three files, as the operator's side writes them."""
    clients = len(roster) if role == "aggregator" else 1
    config = {
        "federate_args": {
            "federation": federation,
            "node": node,
            "role": role,
            "tls_name_of_aggregator": f"aggregator.{federation}.federate",
            **(
                {
                    "roster": list(roster),
                    "quorum": None,
                    "round_deadline_seconds": None,
                    "selection": "all",
                    "fraction": 1.0,
                    "checkpoints_kept": 3,
                }
                if role == "aggregator"
                else {}
            ),
            "dataset": {"name": "blobs", "options": options or {}},
            "model": {"name": "logistic_regression", "options": {"inputs": (options or {}).get("features", 10)}},
            "aggregation": {"name": "fedavg", "options": {}},
            "optimizer": "adam",
            "class_weights": "balanced",
            "weight_decay": 0.0,
            "seed": seed,
            "message_limit_mib": 64,
            "wandb": {"enabled": False, "project": "federate", "entity": None},
            **own,
        },
        "common_args": {
            "training_type": "cross_silo",
            "scenario": "horizontal",
            "using_mlops": False,
            "run_id": "test",
        },
        "data_args": {"dataset": "blobs"},
        "model_args": {"model": "logistic_regression"},
        "train_args": {
            "federated_optimizer": "FedAvg",
            "client_id_list": str(list(range(1, clients + 1))),
            "client_num_in_total": clients,
            "client_num_per_round": clients,
            "comm_round": rounds,
            "epochs": 1,
            "batch_size": batch_size,
            "learning_rate": 0.01,
        },
        "device_args": {"worker_num": clients, "using_gpu": True, "gpu_mapping_key": "mapping_default"},
        "comm_args": {"backend": "GRPC"},
    }
    return {
        "fedml_config.yaml": yaml.safe_dump(config, sort_keys=False),
        "grpc_ipconfig.csv": "eid,rank,grpc_server_ip,grpc_server_port\n0,0,10.30.0.10,8890\n",
        "gpu_mapping.yaml": yaml.safe_dump({"mapping_default": {node: [1]}}),
    }


class Federation:
    """A server and clients, each in a folder of its own; ends them all when the test is over."""

    def __init__(self, root: Path, sites: tuple[str, ...] = ("site-a", "site-b"), **settings: Any) -> None:
        self.root, self.sites, self.port = root, sites, free_port()
        self.authority = Authority()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        server_only = {key: settings.pop(key) for key in SERVER_ONLY if key in settings}
        for node in ("aggregator", *sites):
            role = "aggregator" if node == "aggregator" else "client"
            own = server_only if role == "aggregator" else {}
            self.write(node, run_files(node, role=role, roster=sites, **settings, **own))
            self.authority.issue(root / node / "state" / "tls", node, role=role)

    def write(self, node: str, files: dict[str, str]) -> None:
        for folder in ("config", "data", "state", "output"):
            (self.root / node / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (self.root / node / "config" / name).write_text(text)

    def start(self, *nodes: str) -> None:
        for node in nodes:
            environment = {k: v for k, v in os.environ.items() if not k.startswith("FEDERATE_")}
            environment |= self.environment(node)
            with (self.root / node / "log").open("ab") as log:
                self._processes[node] = subprocess.Popen(self.command(node), stdout=log, stderr=log, env=environment)

    def environment(self, node: str) -> dict[str, str]:
        """Return what a node's process finds in its environment beside this process's own."""
        del node
        return {
            "PYTHONPATH": str(PLUGINS),
            "FEDERATE_ADDRESS_MAP": f"{PLANNED}=127.0.0.1:{self.port}",
            "FEDERATE_THREADS": "1",
        }

    def command(self, node: str) -> list[str]:
        """Return the command that runs a node."""
        command = [sys.executable, "-m", "fl_app", "server" if node == "aggregator" else "client"]
        for folder in ("config", "data", "state", "output"):
            command += [f"--{folder}", str(self.root / node / folder)]
        return command

    def start_all(self) -> None:
        self.start(*self.sites, "aggregator")

    def state(self, node: str) -> Path:
        return self.root / node / "state"

    def kill(self, node: str) -> None:
        self._processes[node].kill()
        self._processes[node].wait()

    def terminate(self, node: str) -> None:
        self.signal(node, signal.SIGTERM)

    def signal(self, node: str, number: signal.Signals) -> None:
        self._processes[node].send_signal(number)

    def exit_code(self, node: str, seconds: float = 60.0) -> int:
        try:
            return self._processes[node].wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{node} still runs after {seconds:g} s; its log:\n{self.log(node)}") from None

    def log(self, node: str) -> str:
        return (self.root / node / "log").read_text()

    def output(self, node: str, name: str) -> Path:
        return self.root / node / "output" / name

    def rounds(self, node: str = "aggregator") -> list[dict[str, Any]]:
        path = self.output(node, "rounds.jsonl")
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith(b"\n")]  # the last one may just be written

    def progress(self, node: str = "aggregator") -> dict[str, Any]:
        path = self.output(node, "progress.json")
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def wait_for_log(self, node: str, text: str, seconds: float = 60.0) -> None:
        wait_until(lambda: text in self.log(node), seconds=seconds, what=f"{text!r} in the log of {node}")

    def end(self) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()
