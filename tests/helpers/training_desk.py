"""A desk whose federation trains: data for its sites, its nodes' bodies, and what lies in its accounts."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from desk import PROFILES, Desk
from waiting import wait_until

NODES = PROFILES
FEDERATION = """
name: fed
region: us-east-1
images: {us-east-1: ami-0fed0000000000001}
aggregator: {account: "333333333333", profile: aggregator, cidr: 10.30.0.0/16}
participants:
  - id: hospital-a
    account: "111111111111"
    profile: hospital-a
    cidr: 10.10.0.0/16
    on_destroy: delete
    data: {source: sites/hospital-a}
  - id: hospital-b
    account: "222222222222"
    profile: hospital-b
    cidr: 10.20.0.0/16
    on_destroy: retain
    data: {source: sites/hospital-b}
"""
_NUMBER = re.compile(rb"(?<![\w.])\d{4,12}(?![\w.])")


@dataclass
class TrainingDesk(Desk):
    """Commands, and what they have led to, seen past the toolkit: in accounts, processes and folders."""

    environment_of_aws: dict[str, str] = field(default_factory=dict)

    def write(self, **training: Any) -> None:
        """Write the federation's file."""
        lines = [
            f"  {name}: {value}" for name, value in {"learning_rate": 0.02, "optimizer": "sgd", **training}.items()
        ]
        (self.folder / "federation.yaml").write_text("\n".join([FEDERATION.strip(), "training:", *lines, ""]))

    def aws(self) -> Mapping[str, str]:
        if not self.environment_of_aws:
            self.environment_of_aws.update(super().aws())
        return self.environment_of_aws

    def status(self) -> dict[str, dict[str, Any]]:
        """Return what ``federate status`` says, by node."""
        return {line["node"]: line for line in json.loads(self.run("--json", "status")[0])}

    def parameters(self, node: str) -> dict[str, str]:
        """Return a node's parameters by their names below its prefix."""
        prefix = f"/federate/fed/{node}/"
        pages = self.client(node, "ssm").get_paginator("get_parameters_by_path").paginate(Path=prefix)
        return {item["Name"].removeprefix(prefix): item["Value"] for page in pages for item in page["Parameters"]}

    def tell(self, node: str, name: str, value: str) -> None:
        """Set a parameter of a node's, past the toolkit."""
        self.client(node, "ssm").put_parameter(
            Name=f"/federate/fed/{node}/{name}", Value=value, Type="String", Overwrite=True
        )

    def says(self, node: str) -> dict[str, Any]:
        """Return what a node last published."""
        found: dict[str, Any] = json.loads(self.parameters(node).get("state", "{}"))
        return found

    def wait_for(self, node: str, *states: str, round_: int = 0, after: str | None = None) -> dict[str, Any]:
        """Wait until a node says that it is in one of these states and has come to a round, of a run ``after`` one."""

        def so() -> dict[str, Any] | None:
            said = self.says(node)
            if after is not None and said.get("run") == after:
                return None
            assert said.get("state") != "failed" or "failed" in states, said
            if after is not None:
                assert said.get("state") != "finished" or "finished" in states, f"it was over before round {round_}"
            is_there = said.get("progress", {}).get("round", 0) >= round_
            return said if said.get("state") in states and is_there else None

        found: dict[str, Any] = wait_until(so, what=f"{node} {'/'.join(states)} at round {round_}")
        return found

    def in_the_middle(self, *command: str, round_: int = 2) -> tuple[subprocess.Popen[str], str]:
        """Begin a command that starts a run; return it, and the run's name once the aggregator has come to a round."""
        before = self.says("aggregator").get("run", "")
        process = self.begin(*command)
        return process, str(self.wait_for("aggregator", "running", round_=round_, after=before)["run"])

    @property
    def twin(self) -> Path:
        return self.folder / "home" / "local" / "twin"

    def bodies(self) -> dict[str, dict[str, Any]]:
        """Return the twin's record of each node's process group, with its instance, by node."""
        found = json.loads((self.twin / "bodies.json").read_text())
        return {body["node"]: {**body, "instance": instance} for instance, body in found.items()}

    def node_folders(self, node: str) -> list[Path]:
        """Return a node's root volume and state volume."""
        instance = self.bodies()[node]["instance"]
        described = self.client(node, "ec2").describe_instances(InstanceIds=[instance])
        (found,) = described["Reservations"][0]["Instances"]
        volumes = [device["Ebs"]["VolumeId"] for device in found["BlockDeviceMappings"]]
        folders = [self.twin / "nodes" / instance, *(self.twin / "volumes" / volume for volume in volumes)]
        return [folder for folder in folders if folder.is_dir()]

    def files(self, node: str) -> Iterator[tuple[str, bytes]]:
        """Yield all files of a node's volumes."""
        for folder in self.node_folders(node):
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    yield f"{node} {path.relative_to(self.twin)}", path.read_bytes()

    def processes(self, what: str = "") -> dict[int, str]:
        """Return the processes that work in this desk's folder: pid to command line."""
        return {pid: args for pid, (_, args) in _processes().items() if str(self.folder) in args and what in args}

    def application(self, node: str) -> int:
        """Return the pid of a node's application."""
        agent = self.bodies()[node]["pid"]
        (pid,) = (pid for pid, (parent, args) in _processes().items() if parent == agent and "-m fl_app" in args)
        return pid

    def log(self, node: str) -> Iterator[tuple[str, bytes]]:
        """Yield the lines of a node's log as its account keeps them."""
        pages = (
            self.client(node, "logs").get_paginator("filter_log_events").paginate(logGroupName=f"/federate/fed/{node}")
        )
        for page in pages:
            for event in page["events"]:
                yield f"log of {event['logStreamName']}", event["message"].encode()

    def secrets(self) -> set[str]:
        """Return what the nodes' environments hold and nobody else may see."""
        found = set()
        for body in self.bodies().values():
            for part in Path(f"/proc/{body['pid']}/environ").read_text().split("\0"):
                name, _, value = part.partition("=")
                if name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
                    found.add(value)
        return found


def _processes() -> dict[int, tuple[int, str]]:
    """Return all processes: pid to the parent's and the command line."""
    told = subprocess.run(["ps", "-eww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = (line.split(maxsplit=2) for line in told.splitlines())
    return {int(row[0]): (int(row[1]), row[2]) for row in rows if len(row) == 3}


def stays_of(folder: Path) -> set[int]:
    """Return the patientunitstayids of a site's folder."""
    with gzip.open(folder / "patient.csv.gz", "rt") as rows:
        next(rows)
        return {int(row.partition(",")[0]) for row in rows}


def found_in(contents: Iterable[tuple[str, bytes]], stays: set[int]) -> dict[str, set[int]]:
    """Return which contents hold the numbers of these stays, also packed: place to numbers."""
    found: dict[str, set[int]] = {}
    for where, content in contents:
        for name, plain in _unpacked(where, content):
            numbers = {int(number) for number in _NUMBER.findall(plain)} & stays
            if numbers:
                found.setdefault(name, set()).update(numbers)
    return found


def _unpacked(where: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    yield where, content
    if content[:2] == b"\x1f\x8b":
        yield from _unpacked(where, gzip.decompress(content))
    elif content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            for name in packed.namelist():
                yield from _unpacked(f"{where}!{name}", packed.read(name))
