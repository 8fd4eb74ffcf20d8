"""The same job on NVIDIA FLARE 2.9.0, Flower 1.41.0, stock FedML 0.9.6 and Federate, side by side.

Each peer is installed into an environment of its own under ``build/peers`` (some gigabytes, once) and runs with a
server and two clients as processes on loopback: FLARE's POC (mutual TLS), Flower's SuperLink and SuperNodes (server
TLS), FedML's cross-silo gRPC (no TLS), and ``python -m fl_app`` (mutual TLS). A round is the time between two
beginnings of a fit at one site. A peer that cannot be installed, fails or does not finish in time is reported as
``not_run`` with the reason; its log is in ``build/peers``. Whatever a peer has started is ended with it.

    python benchmarks/bench_peers.py --rounds 50 --peers federate flower
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "benchmarks" / "peers"
BUILD = ROOT / "build" / "peers"
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

TORCH = "torch==2.13.0"
_INSTALL_SECONDS = 1800.0
_START_SECONDS = 120.0
_END_SECONDS = 10.0


def main() -> None:
    """Install, run, print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50, metavar="N")
    parser.add_argument("--limit", type=float, default=900.0, metavar="SECONDS", help="for one peer's run")
    parser.add_argument("--peers", nargs="+", choices=tuple(RUN), default=list(RUN))
    chosen = parser.parse_args()
    found: dict[str, Any] = {"benchmark": "peers", "cores": os.cpu_count(), "rounds": chosen.rounds}
    for peer in chosen.peers:
        with tempfile.TemporaryDirectory(prefix=f"bench-{peer}-") as folder:
            began = time.monotonic()
            try:
                told = RUN[peer](Path(folder), chosen.rounds, chosen.limit)
            except (subprocess.SubprocessError, AssertionError, OSError) as error:
                told = {"not_run": f"{type(error).__name__}: {error}"[:400]}
            told["total_s"] = round(time.monotonic() - began, 1)
        found[peer] = told
        print(f"{peer}: {json.dumps(told)}", file=sys.stderr, flush=True)
    print(json.dumps(found))


def environment(peer: str, *requirements: str, after: tuple[str, ...] = ()) -> Path:
    """Make a peer's environment, once, and return its Python."""
    folder = BUILD / peer
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        print(f"installing {peer} into {folder}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=_INSTALL_SECONDS)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, TORCH], check=True, timeout=_INSTALL_SECONDS)
        subprocess.run([*pip, TORCH, *requirements], check=True, timeout=_INSTALL_SECONDS)
        if after:
            subprocess.run([*pip, "--no-deps", *after], check=True, timeout=_INSTALL_SECONDS)
        (folder / ".ready").touch()
    return python


def variables(work: Path, python: Path, **more: str) -> dict[str, str]:
    """Return the variables that the job's parts read."""
    path = f"{python.parent}:{os.environ['PATH']}"
    told = {"BENCH_WORK": str(work), "BENCH_PEERS": str(PEERS), "PATH": path, "OMP_NUM_THREADS": "1", "HOME": str(work)}
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**kept, **told, **more}


def figures(work: Path, rounds: int) -> dict[str, Any]:
    """Read what the sites noted; a round is from one fit's beginning to the next one's."""
    files = sorted(work.glob("times-*"))
    assert len(files) == 2, f"{len(files)} sites noted their fits; two were expected"
    times = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
    assert min(len(one) for one in times) >= rounds, f"only {[len(one) for one in times]} rounds"
    apart = [later[0] - earlier[0] for one in times for earlier, later in itertools.pairwise(one[1:])]
    fits = [ended - began for one in times for began, ended in one[1:]]
    between = [later[0] - earlier[1] for one in times for earlier, later in itertools.pairwise(one[1:])]
    return {
        "round_ms": round(statistics.median(apart) * 1000, 2),
        "fit_ms": round(statistics.median(fits) * 1000, 2),
        "between_fits_ms": round(statistics.median(between) * 1000, 2),
    }


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Start = Callable[[list[str]], "subprocess.Popen[bytes]"]


@contextmanager
def started(peer: str, work: Path, variables_: dict[str, str]) -> Iterator[Start]:
    """Hand out a way to start processes; at the end each is ended, with all that it has started itself."""
    processes: list[subprocess.Popen[bytes]] = []
    with (BUILD / f"{peer}.log").open("wb") as log:

        def start(command: list[str]) -> subprocess.Popen[bytes]:
            processes.append(
                subprocess.Popen(command, cwd=work, env=variables_, stdout=log, stderr=log, start_new_session=True)
            )
            return processes[-1]

        try:
            yield start
        finally:
            for process in reversed(processes):
                _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and its session: politely, then not."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
            process.wait(_END_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def finished(process: subprocess.Popen[bytes], peer: str, until: float) -> None:
    """Wait for a good end before a second of the monotonic clock."""
    code = process.wait(max(0.0, until - time.monotonic()))
    assert code == 0, f"{Path(process.args[1]).name} ended with {code}; see {BUILD / peer}.log"  # type: ignore[index]


def listens(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until a process listens."""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, f"ended with {process.returncode} before it listened"
        time.sleep(0.1)
    raise AssertionError(f"does not listen after {_START_SECONDS:g} s")


def federate(work: Path, rounds: int, limit: float) -> dict[str, Any]:
    """Real nodes, mutual TLS; beside the round they evaluate, checkpoint and keep the audit log."""
    from fl_processes import Federation

    options = {"features": 22_100, "samples": 300}
    run = Federation(work / "run", rounds=rounds, options=options, optimizer="sgd", batch_size=32)
    try:
        run.start_all()
        for node in (*run.sites, "aggregator"):
            assert run.exit_code(node, limit) == 0, run.log(node)[-300:]
        records = run.rounds()[1:]
    finally:
        run.end()
    fits = [max(site["fit_seconds"] for site in record["sites"]) for record in records]
    rest = [record["seconds"] - fit for record, fit in zip(records, fits, strict=True)]
    return {
        "tls": "mutual",
        "round_ms": round(statistics.median(record["seconds"] for record in records) * 1000, 2),
        "fit_ms": round(statistics.median(fits) * 1000, 2),
        "between_fits_ms": round(statistics.median(rest) * 1000, 2),
    }


def flare(work: Path, rounds: int, limit: float) -> dict[str, Any]:
    """FLARE's POC."""
    python = environment("flare", "numpy", "tensorboard", "nvflare==2.9.0")
    until = time.monotonic() + limit
    with started("flare", work, variables(work, python, NVFLARE_POC_WORKSPACE=str(work / "poc"))) as start:
        finished(start([str(python), str(PEERS / "flare_run.py"), str(rounds), str(limit)]), "flare", until)
    return {"tls": "mutual", **figures(work, rounds)}


def flower(work: Path, rounds: int, limit: float) -> dict[str, Any]:
    """Flower's deployment engine: since 1.41 all its interfaces are HTTP, on one port of the SuperLink."""
    from authority import Authority

    python = environment("flower", "numpy", "flwr==1.41.0")
    until = time.monotonic() + limit
    pem = Authority().issue(work / "tls", "localhost", dns="localhost", address="127.0.0.1")
    home, port = work / "flwr", free_port()
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "bench"\n\n[superlink.bench]\naddress = "localhost:{port}"\n'
        f'root-certificates = "{pem / "authority.pem"}"\n'
    )
    app = shutil.copytree(PEERS / "flower_app", work / "app")
    tls = ["--ssl-ca-certfile", "authority", "--ssl-certfile", "certificate", "--ssl-keyfile", "key"]
    tls = [word if word.startswith("--") else str(pem / f"{word}.pem") for word in tls]

    def command(name: str, *options: str) -> list[str]:
        return [str(python), str(python.parent / name), *options]

    with started("flower", work, variables(work, python, FLWR_HOME=str(home), FLWR_TELEMETRY_ENABLED="0")) as start:
        options = [*tls, "--port", str(port), "--disable-runtime-dependency-installation"]
        listens(start(command("flower-superlink", *options)), port)
        for place in (1, 2):
            own = free_port()
            options = ["--root-certificates", str(pem / "authority.pem"), "--superlink", f"localhost:{port}"]
            options += ["--node-config", f"place={place}", "--port", str(own)]
            listens(start(command("flower-supernode", *options)), own)
        run = start(command("flwr", "run", str(app), "bench", "--stream", "-c", f"rounds={rounds}"))
        finished(run, "flower", until)
    return {"tls": "server", **figures(work, rounds)}


def fedml(work: Path, rounds: int, limit: float) -> dict[str, Any]:
    """Stock FedML: its own gRPC and runner, from its own front door."""
    requirements = (PEERS / "fedml-requirements.txt").read_text().split()
    python = environment("fedml", *requirements, after=("fedml==0.9.6",))
    until = time.monotonic() + limit
    base = free_port()
    rows = "".join(f"{rank},{rank},127.0.0.1,{base + rank}\n" for rank in range(3))
    (work / "ip.csv").write_text("eid,rank,grpc_server_ip,grpc_server_port\n" + rows)
    processes = []
    with started("fedml", work, variables(work, python)) as start:
        for rank in range(3):  # the server first: a client that finds none ends
            role = "client" if rank else "server"
            config = work / f"fedml_config_{rank}.yaml"
            clients = [rank] if rank else [1, 2]  # a client takes the first of its list for its own name
            config.write_text(_FEDML.format(rounds=rounds, table=work / "ip.csv", clients=clients))
            command = [str(python), str(PEERS / "fedml_node.py"), "--cf", str(config)]
            processes.append(start([*command, "--rank", str(rank), "--role", role, "--run_id", "bench"]))
            listens(processes[-1], base + rank)
        for process in processes:
            finished(process, "fedml", until)
    return {"tls": "none", **figures(work, rounds)}


_FEDML = """\
common_args: {{training_type: cross_silo, scenario: horizontal, using_mlops: false, random_seed: 0,
  config_version: release, run_id: bench}}
data_args: {{dataset: bench}}
model_args: {{model: lr}}
train_args: {{federated_optimizer: FedAvg, client_id_list: "{clients}", client_num_in_total: 2, client_num_per_round: 2,
  comm_round: {rounds}, epochs: 1, batch_size: 32, client_optimizer: sgd, learning_rate: 0.01, weight_decay: 0.0}}
validation_args: {{frequency_of_the_test: 1}}
device_args: {{worker_num: 2, using_gpu: false}}
comm_args: {{backend: GRPC, grpc_ipconfig_path: {table}}}
tracking_args: {{enable_wandb: false, sys_perf_profiling: false}}
"""

RUN: dict[str, Callable[[Path, int, float], dict[str, Any]]] = {
    "federate": federate,
    "fedml": fedml,
    "flare": flare,
    "flower": flower,
}

if __name__ == "__main__":
    main()
