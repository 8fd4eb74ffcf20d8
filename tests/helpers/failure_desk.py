"""An operator's desk whose AWS can be told to fail: the federate command, in this process, against loopback AWS alone.

Loopback AWS runs without the twin here, and the command reaches it as any tool does that has ``AWS_ENDPOINT_URL``: so
profiles and credentials are files of this desk, and can be wrong.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
from desk import CDK as PINNED
from desk import CHECKOUT
from quick_cdk import QuickCdk

from infra.cli import main as command
from infra.deployment import place
from infra.errors import FederateError

CDK = Path(os.environ.get("FEDERATE_CDK", PINNED))
ACCOUNTS = {"aggregator": "333333333333", "hospital-a": "111111111111"}
FEDERATION = """
name: fed
region: us-east-1
images: {us-east-1: ami-0fed0000000000001}
aggregator: {account: "333333333333", profile: aggregator, cidr: 10.30.0.0/16}
participants:
  - {id: hospital-a, account: "111111111111", profile: hospital-a, cidr: 10.10.0.0/16, on_destroy: delete}
"""
_READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said to its user, the error that it ended with, and its exit code."""

    code: int
    out: str
    err: str
    error: str


class FailureDesk:
    """The desk: ``folder`` has the federation's file, the profiles and the local state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "federation.yaml"
        self.file.write_text(FEDERATION)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.write_profiles({name: key(account) for name, account in ACCOUNTS.items()})
        self._log = (folder / "aws.log").open("wb")
        self._aws = subprocess.Popen(
            [
                *(sys.executable, "-m", "infra.local.aws", "--port", str(self.port), "--accounts"),
                ",".join(ACCOUNTS.values()),
            ],
            cwd=CHECKOUT,
            env={**_clean(), "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                self._own("/_federate/health")
                return
            except OSError:
                assert self._aws.poll() is None, (folder / "aws.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def close(self) -> None:
        self._aws.kill()  # it keeps nothing, and a busy machine would take its time to end it in order
        self._aws.wait(60)
        self._log.close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **_clean(),
            "FEDERATE_HOME": str(self.folder / "home"),
            "FEDERATE_FILE": str(self.file),
            "FEDERATE_CDK": str(CDK),
            "CDK_VALIDATION": "false",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CONFIG_FILE": str(self.folder / "aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "aws-credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def write_profiles(self, keys: Mapping[str, str | None]) -> None:
        """Let there be these profiles with these access keys; None is a profile without credentials."""
        config = "".join(f"[profile {name}]\nregion = us-east-1\n" for name in keys)
        secrets = "".join(
            f"[{name}]\naws_access_key_id = {value}\naws_secret_access_key = -\n"
            for name, value in keys.items()
            if value
        )
        (self.folder / "aws-config").write_text(config)
        (self.folder / "aws-credentials").write_text(secrets)

    def run(self, *arguments: str, real_cdk: bool = False, **variables: str) -> Said:
        """Run a command as ``federate …`` does.

        Args:
            arguments: the command.
            real_cdk: deploy by the CDK command, not by its stand-in.
            variables: changes of its environment.
        """
        before, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
        out, err = io.StringIO(), io.StringIO()
        errors: list[str] = []

        def report(error: FederateError, *, as_json: bool) -> int:
            errors.append(str(error))
            return reported(error, as_json=as_json)

        reported = command._report
        os.environ.clear()
        os.environ.update({**self.environment, **variables})
        try:
            with (
                mock.patch.object(command, "_report", report),
                contextlib.nullcontext() if real_cdk else mock.patch.object(place, "CdkCommand", QuickCdk),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
            ):
                # a preflight would find much of it before: here the deployment itself is to meet it
                late = ("--no-preflight",) if arguments[0] == "deploy" else ()
                code = command.main([*arguments, *late])
        finally:
            os.environ.clear()
            os.environ.update(before)
            signal.signal(signal.SIGTERM, handler)
        said = Said(code, out.getvalue(), err.getvalue(), "\n".join(errors))
        assert said.error in said.err
        assert "Traceback" not in said.out + said.err
        assert "This should not have happened" not in said.err
        return said

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a deployment as a process of its own, for what can only happen to one."""
        return subprocess.Popen(
            [sys.executable, "-m", "infra.cli.main", *arguments, "--no-preflight"],
            cwd=CHECKOUT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def client(self, node: str, service: str) -> Any:
        session = boto3.Session(key(ACCOUNTS[node]), "-", region_name="us-east-1")
        return session.client(service, endpoint_url=self.endpoint)

    @contextlib.contextmanager
    def failing(self, *rules: Mapping[str, Any]) -> Iterator[None]:
        """Have loopback AWS answer by rules while the block runs; each must have been asked for."""
        self._own("/_federate/failures", {"rules": list(rules)})
        try:
            yield
            told = self._own("/_federate/failures")["rules"]
        finally:
            self._own("/_federate/failures", {"rules": []})
        assert all(rule["answered"] for rule in told), f"nobody asked for what was to fail: {told}"

    def statuses(self, node: str) -> dict[str, str]:
        found = self.client(node, "cloudformation").describe_stacks()["Stacks"]
        return {stack["StackName"].removeprefix("fed-"): stack["StackStatus"] for stack in found}

    def delete(self, node: str, *stacks: str) -> None:
        """Delete stacks of a node's account, one after the other."""
        cloudformation = self.client(node, "cloudformation")
        for stack in stacks:
            cloudformation.delete_stack(StackName=f"fed-{stack}")
            deadline = time.monotonic() + 30
            while stack in self.statuses(node):
                assert time.monotonic() < deadline, self.statuses(node)
                time.sleep(0.05)

    def _own(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.endpoint}{path}", data=data, headers={"Content-Type": "application/json"}
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            return json.loads(answer.read())


def key(account: str) -> str:
    """Return the access key of an account's administrator on loopback AWS."""
    return f"AKIAEMUL{account}"


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "FEDERATE_", "CDK_"))}
