"""Train one round on this machine: a server and two clients on loopback, with certificates made on the spot.

Run on an instance of a new machine image, with the image's own Python and the application's source on the module path.
The data are synthetic; keys and certificates are in a folder that is deleted afterwards, and serve nobody else.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FEDERATION = "image"
HUB = "aggregator"
SITES = ("site-a", "site-b")
#: What the run files say; on this machine it is an address of loopback.
_PLANNED = "10.0.0.10:8890"
_STAYS = 120
_SECONDS = 540.0
_TAIL_CHARACTERS = 3000


class RoundFailed(Exception):
    """No round was trained; says by whom and what it said last."""


def main(arguments: list[str] | None = None) -> int:
    """Train the round and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--application", type=Path, required=True, metavar="DIR", help="folder with fl_app in it")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="federate-image-") as folder:
        try:
            record = train(options.application.absolute(), Path(folder))
        except RoundFailed as error:
            print(f"one_round: {error}", file=sys.stderr)
            return 1
    print(f"one_round: {json.dumps(record)}")
    return 0


def train(application: Path, folder: Path, *, seconds: float = _SECONDS) -> dict[str, Any]:
    """Train one round.

    Args:
        application: folder with the package ``fl_app``.
        folder: an empty one, for everything that is made.
        seconds: how long all of it may take.

    Returns:
        What the server wrote down of the round.

    Raises:
        RoundFailed: a process ended with an error, or not in time.
    """
    until = time.monotonic() + seconds
    environment = {
        **os.environ,
        "PYTHONPATH": str(application),
        "PYTHONDONTWRITEBYTECODE": "1",
        "FEDERATE_THREADS": "1",
    }
    environment["FEDERATE_ADDRESS_MAP"] = f"{_PLANNED}=127.0.0.1:{_free_port()}"
    eicu = [sys.executable, "-m", "fl_app.eicu"]
    synthesize = [*eicu, "synthesize", "--out", str(folder / "eicu"), "--stays", str(_STAYS)]
    deal = [*eicu, "deal", "--source", str(folder / "eicu"), "--out", str(folder / "data"), "--sites", ",".join(SITES)]
    for command in (synthesize, deal):
        _finish(_start(command, folder / "data.log", environment), "making the data", folder / "data.log", until)
    _certify(folder)
    running = {}
    for node in (*SITES, HUB):
        _write_run_files(folder / node / "config", node)
        running[node] = _start(_command(folder, node), folder / f"{node}.log", environment)
    try:
        _finish_all(running, folder, until)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    return _record(folder)


def _finish_all(running: dict[str, subprocess.Popen[bytes]], folder: Path, until: float) -> None:
    """Wait for all nodes; the first one that fails ends the waiting."""
    left = dict(running)
    while left:
        for node, process in list(left.items()):
            if process.poll() is not None:
                _finish(left.pop(node), node, folder / f"{node}.log", until)
        if left and time.monotonic() > until:
            node = next(iter(left))
            raise RoundFailed(f"{node} did not end in time.\n{_tail(folder / f'{node}.log')}")
        time.sleep(0.05)


def _finish(process: subprocess.Popen[bytes], who: str, log: Path, until: float) -> None:
    try:
        code = process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise RoundFailed(f"{who} did not end in time.\n{_tail(log)}") from None
    if code != 0:
        raise RoundFailed(f"{who} ended with {code}.\n{_tail(log)}")


def _start(command: list[str], log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own interpreter, a list, no shell
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )


def _command(folder: Path, node: str) -> list[str]:
    role = "server" if node == HUB else "client"
    places = {"config": folder / node / "config", "data": folder / "data" / node}
    places |= {name: folder / node / name for name in ("state", "output")}
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    options = [part for name, place in places.items() for part in (f"--{name}", str(place))]
    return [sys.executable, "-m", "fl_app", role, *options]


def _record(folder: Path) -> dict[str, Any]:
    """Return the server's record of the one round.

    Raises:
        RoundFailed: there is none, or not all sites were in it.
    """
    path = folder / HUB / "output" / "rounds.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    if len(lines) != 1:
        raise RoundFailed(f"the server wrote down {len(lines)} rounds, and one was due.")
    found: dict[str, Any] = json.loads(lines[0])
    if found.get("answered") != list(SITES):
        raise RoundFailed(f"{', '.join(SITES)} were to answer, and {found.get('answered')} did.")
    return found


def _write_run_files(folder: Path, node: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    is_server = node == HUB
    clients = len(SITES) if is_server else 1
    server_only = {
        "roster": list(SITES),
        "quorum": None,
        "round_deadline_seconds": None,
        "selection": "all",
        "fraction": 1.0,
        "checkpoints_kept": 1,
    }
    config = {
        "federate_args": {
            "federation": FEDERATION,
            "node": node,
            "role": "aggregator" if is_server else "client",
            "tls_name_of_aggregator": _tls_name(HUB),
            **(server_only if is_server else {}),
            "dataset": {"name": "eicu", "options": {}},
            "model": {"name": "logistic_regression", "options": {}},
            "aggregation": {"name": "fedavg", "options": {}},
            "optimizer": "sgd",
            "class_weights": "balanced",
            "weight_decay": 0.0,
            "seed": 0,
            "message_limit_mib": 64,
            "wandb": {"enabled": False},
        },
        "common_args": {
            "training_type": "cross_silo",
            "scenario": "horizontal",
            "using_mlops": False,
            "run_id": FEDERATION,
        },
        "data_args": {"dataset": "eicu"},
        "model_args": {"model": "logistic_regression"},
        "train_args": {
            "federated_optimizer": "FedAvg",
            "client_id_list": str(list(range(1, clients + 1))),
            "client_num_in_total": clients,
            "client_num_per_round": clients,
            "comm_round": 1,
            "epochs": 1,
            "batch_size": 32,
            "learning_rate": 0.02,
        },
        "device_args": {"worker_num": clients, "using_gpu": True, "gpu_mapping_key": "mapping_default"},
        "comm_args": {"backend": "GRPC"},
    }
    address, port = _PLANNED.split(":")
    (folder / "fedml_config.yaml").write_text(yaml.safe_dump(config))
    (folder / "grpc_ipconfig.csv").write_text(f"eid,rank,grpc_server_ip,grpc_server_port\n0,0,{address},{port}\n")
    (folder / "gpu_mapping.yaml").write_text(yaml.safe_dump({"mapping_default": {node: [1]}}))


def _certify(folder: Path) -> None:
    """Make an authority, and a key and a certificate for each node; the authority's key is written nowhere."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{FEDERATION} authority")])
    authority = (
        _builder(authority_name, authority_name, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    for node in (HUB, *SITES):
        key = ec.generate_private_key(ec.SECP256R1())
        role = "aggregator" if node == HUB else "client"
        names = [
            x509.DNSName(_tls_name(node)),
            x509.UniformResourceIdentifier(f"federate://{FEDERATION}/{role}/{node}"),
        ]
        certificate = (
            _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)]), authority_name, key)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(authority_key, hashes.SHA256())
        )
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        tls = folder / node / "state" / "tls"
        tls.mkdir(parents=True)
        (tls / "key.pem").touch(mode=0o600)
        (tls / "key.pem").write_bytes(secret)
        (tls / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (tls / "authority.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
    )


def _tls_name(node: str) -> str:
    return f"{node}.{FEDERATION}.federate"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tail(log: Path) -> str:
    try:
        return log.read_text("utf-8", errors="replace")[-_TAIL_CHARACTERS:].strip()
    except OSError:
        return "it said nothing"


if __name__ == "__main__":
    sys.exit(main())
