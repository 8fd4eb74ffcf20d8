"""A desk whose federation trains, and what its nodes' folders, accounts and streams show of keys and certificates."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from desk import FEDERATION, PROFILES, Desk
from waiting import wait_until

NODES = PROFILES
SITES = ("hospital-a", "hospital-b")


@dataclass
class IdentityDesk(Desk):
    """Commands, and what they have led to, seen past the toolkit."""

    told: dict[str, str] = field(default_factory=dict)

    def write(self, policy: str = "{}", **training: Any) -> None:
        """Write the federation's file."""
        lines = [
            f"  {name}: {value}" for name, value in {"optimizer": "sgd", "learning_rate": 0.02, **training}.items()
        ]
        sites = FEDERATION
        for site in SITES:
            sites = sites.replace(f"profile: {site},", f"profile: {site}, data: {{source: sites/{site}}},")
        (self.folder / "federation.yaml").write_text(
            "\n".join([sites.strip(), f"policy: {policy}", "training:", *lines, ""])
        )

    def aws(self) -> dict[str, str]:
        if not self.told:
            self.told.update(super().aws())
        return self.told

    def answer(self, *arguments: str) -> Any:
        """Run a command and return what it tells a script."""
        return json.loads(self.run("--json", *arguments)[0])

    def parameters(self, node: str) -> dict[str, str]:
        """Return a node's parameters by their names below its prefix."""
        prefix = f"/federate/fed/{node}/"
        pages = self.client(node, "ssm").get_paginator("get_parameters_by_path").paginate(Path=prefix)
        return {item["Name"].removeprefix(prefix): item["Value"] for page in pages for item in page["Parameters"]}

    def says(self, node: str) -> dict[str, Any]:
        """Return what a node last published."""
        found: dict[str, Any] = json.loads(self.parameters(node).get("state", "{}"))
        return found

    def wait_for(self, node: str, *states: str, round_: int = 0) -> dict[str, Any]:
        """Wait until a node says that it is in one of these states and has come to a round."""

        def so() -> dict[str, Any] | None:
            said = self.says(node)
            assert said.get("state") != "failed" or "failed" in states, said
            return said if said["state"] in states and said["progress"].get("round", 0) >= round_ else None

        found: dict[str, Any] = wait_until(so, what=f"{node} {'/'.join(states)} at round {round_}", seconds=280)
        return found

    @property
    def twin(self) -> Path:
        return self.folder / "home" / "local" / "twin"

    def bodies(self) -> dict[str, dict[str, Any]]:
        """Return the twin's record of each node's process group, by node."""
        found = json.loads((self.twin / "bodies.json").read_text())
        return {body["node"]: {**body, "instance": instance} for instance, body in found.items()}

    def volume(self, node: str) -> Path:
        """Return a node's state volume."""
        (arguments,) = [args for pid, _, args in _processes() if pid == self.bodies()[node]["pid"]]
        return Path(arguments.partition("--state ")[2].split()[0])

    def application(self, node: str) -> int:
        """Return the pid of a node's application."""
        agent = self.bodies()[node]["pid"]
        (pid,) = (pid for pid, parent, args in _processes() if parent == agent and "-m fl_app" in args)
        return pid

    def serial_on_the_wire(self) -> str:
        """Return the serial number of the certificate that the hub's application shows to a site."""
        environment = Path(f"/proc/{self.application('hospital-a')}/environ").read_text().split("\0")
        (pairs,) = (one.partition("=")[2] for one in environment if one.startswith("FEDERATE_ADDRESS_MAP="))
        host, _, port = pairs.split(",")[0].partition("=")[2].rpartition(":")
        files = self.volume("hospital-a") / "tls"
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.load_cert_chain(files / "certificate.pem", files / "key.pem")
        made.load_verify_locations(files / "authority.pem")
        # What it shows is asked here, not whether it is to be trusted.
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        made.set_alpn_protocols(["h2"])
        with socket.create_connection((host, int(port)), 10) as plain, made.wrap_socket(plain) as secured:
            shown = secured.getpeercert(binary_form=True)
        assert shown is not None
        return f"{x509.load_der_x509_certificate(shown).serial_number:x}"


@dataclass
class Reader:
    """Reads a node's ``tls`` all the time, as the application does, and notes each pair that it has seen."""

    folder: Path
    seen: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    looks: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._stop.wait(0.02):
            self.look()

    def look(self) -> None:
        self.looks += 1
        try:
            here = self.folder.resolve(strict=True)
            key = load_pem_private_key((here / "key.pem").read_bytes(), None)
            certificate = x509.load_pem_x509_certificate((here / "certificate.pem").read_bytes())
            authorities = x509.load_pem_x509_certificates((here / "authority.pem").read_bytes())
            form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            public = key.public_key().public_bytes(*form)
            if public != certificate.public_key().public_bytes(*form):
                self.wrong.append("key and certificate differ")
            if not any(_has_issued(one, certificate) for one in authorities):
                self.wrong.append("no authority has issued the certificate")
        except Exception as error:
            self.wrong.append(f"{type(error).__name__}: {error}")
            return
        pair = (f"{certificate.serial_number:x}", public.hex())
        if not self.seen or self.seen[-1] != pair:
            self.seen.append(pair)

    def __enter__(self) -> Reader:
        self._thread = threading.Thread(target=self.run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _has_issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:
        return False
    return True


def _processes() -> list[tuple[int, int, str]]:
    told = subprocess.run(["ps", "-wweo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = (line.split(maxsplit=2) for line in told.splitlines())
    return [(int(row[0]), int(row[1]), row[2]) for row in rows if len(row) == 3]
