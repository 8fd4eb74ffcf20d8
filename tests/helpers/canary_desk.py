"""A desk whose federation lives in the twin's network, and all that leaves its hospitals recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from desk import CHECKOUT
from training_desk import NODES, TrainingDesk, wait_until

from infra.federation.derive import Node, nodes
from infra.federation.model import Federation
from infra.identity import Authority
from infra.identity.certificates import of_node
from infra.local.twin.capture.record import Recorded

HELPERS = Path(__file__).parent
SITES = ("hospital-a", "hospital-b")


@dataclass
class CanaryDesk(TrainingDesk):
    """Commands, a recording, and what came of it. ``packages``: a folder with plug-ins, installed."""

    packages: Path | None = None
    also: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        folders = [HELPERS / "watched_endpoints", CHECKOUT, *([self.packages] if self.packages else [])]
        return {
            **super().environment,
            "PYTHONPATH": os.pathsep.join(map(str, folders)),
            "CANARY_WATCH": str(self.watched),
            "FEDERATE_DEPTH": "network",
        }

    @property
    def watched(self) -> Path:
        """Where the endpoints write what they are asked."""
        made = self.folder / "watched"
        made.mkdir(exist_ok=True)
        return made

    @property
    def federation(self) -> Federation:
        """The file's; what is installed for it is known to its commands, not here."""
        return Federation.model_validate(yaml.safe_load((self.folder / "federation.yaml").read_text()))

    @property
    def records(self) -> Path:
        return self.folder / "records"

    def recorded(self, site: str) -> Recorded:
        return Recorded(self.records / site)

    def bring_up(self) -> None:
        """Deploy into the twin's network; afterwards all nodes are ready."""
        self.run("local", "up")
        self.run("deploy")

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what leaves the sites."""
        self._issue_identities()
        federation = self.federation
        arguments = ["--folder", self.twin, "--identities", self.folder / "middle", "--out", self.records]
        arguments += ["--tls-name", nodes(federation)[0].tls_name, "--port", federation.aggregator.port]
        process = subprocess.Popen(
            [
                *("nsenter", "--target", str(self.keeper()), "--mount", "--net", "--pid", "--"),
                *(sys.executable, "-m", "infra.local.twin.capture", *map(str, arguments)),
            ],
            cwd=CHECKOUT,
            env={**self.environment, **self.aws()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", "the recording did not begin; what it said is above"
        try:
            yield
        finally:
            process.stdin.close()
            assert process.wait(60) == 0

    def train(self) -> str:
        """Train to the end; return the run's name once every node has brought its results and its log."""
        self.run("start", "server", "--detach")
        self.run("start", "clients")
        self.run("watch")
        for node in NODES:
            self.wait_for(node, "finished")
            wait_until(lambda node=node: "finished" in self._agent_log(node), what=f"the end in the log of {node}")
        return str(self.says("aggregator")["run"])

    def requests(self, node: str) -> Iterator[tuple[str, bytes]]:
        """Yield what a node has said to AWS's endpoints, connection by connection."""
        account = node_of(self.federation, node).account
        for path in self.watched.glob(f"{account}-*"):
            yield path.name, path.read_bytes()

    def keeper(self) -> int:
        """Return the number of the process that keeps the twin: outside of the world it is the first one's child."""
        outside = json.loads((self.twin / "twin.json").read_text())["pid"]
        (first,) = _children(outside)
        (keeper,) = _children(first)[:1]
        return keeper

    def _agent_log(self, node: str) -> str:
        return "\n".join(line.decode() for where, line in self.log(node) if where.endswith("/agent"))

    def _issue_identities(self) -> None:
        """Make what the men in the middle show, with the federation's authority; its own book does not know of it."""
        federation = self.federation
        folder = self.folder / "home" / "identity" / federation.name
        authority = Authority.open(folder, federation.name)
        key: Any = load_pem_private_key((folder / "key.pem").read_bytes(), None)
        hub, *sites = nodes(federation)
        for site in sites:
            for shown, node in (("aggregator", hub), ("site", site)):
                own = ec.generate_private_key(ec.SECP256R1())
                certificate = of_node(own.public_key(), node, authority.certificate, key, days=1, now=datetime.now(UTC))
                into = self.folder / "middle" / site.id / shown
                into.mkdir(parents=True, exist_ok=True)
                (into / "key.pem").write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
                (into / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
                (into / "authority.pem").write_bytes(authority.bundle)


def node_of(federation: Federation, id_: str) -> Node:
    return next(node for node in nodes(federation) if node.id == id_)


def _children(pid: int) -> list[int]:
    told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(line) for line in told.split()]


def install_leaks(target: Path) -> Path:
    """Install the package of leaks into a folder, as a data scientist installs a plug-in; return the folder."""
    import shutil

    source = target.with_name("leaks-source")
    shutil.copytree(HELPERS / "leaks", source)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"),
            *("--target", str(target), str(source)),
        ],
        check=True,
    )
    return target
