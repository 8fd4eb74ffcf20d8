"""The stand-in for the Systems Manager agent, as a process of its own, against loopback AWS and a metadata service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from infra.local.aws.accounts import SECRET, static_key
from infra.local.aws.clients import InProcessClients
from infra.local.aws.server import LoopbackAws
from infra.local.process import started_at

ACCOUNT, OTHER, REGION = "610000000001", "610000000002", "us-east-1"
SCRIPT = Path(__file__).parents[3] / "infra/local/twin/machines/ssm_agent.py"


class _Metadata(BaseHTTPRequestHandler):
    """What the agent and botocore ask of a metadata service, version 2."""

    instance, account = "", ACCOUNT

    def do_PUT(self) -> None:
        self._answer(200, "token")

    def do_GET(self) -> None:
        credentials = {
            "Code": "Success",
            "AccessKeyId": static_key(self.account),
            "SecretAccessKey": SECRET,
            "Token": "t",
            "Expiration": "2099-01-01T00:00:00Z",
        }
        known = {
            "instance-id": self.instance,
            "placement/region": REGION,
            "iam/security-credentials/": "node",
            "iam/security-credentials/node": json.dumps(credentials),
        }
        path = self.path.removeprefix("/latest/meta-data/")
        if self.headers.get("X-aws-ec2-metadata-token") != "token":
            self._answer(401, "")
        else:
            self._answer(200 if path in known else 404, known.get(path, ""))

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


@dataclass
class Place:
    clients: InProcessClients
    endpoint: str
    subnet: str
    instance: str = ""

    def made(self) -> str:
        """Make an instance and return its id."""
        wanted = {"ImageId": "ami-0fed0000000000001", "MinCount": 1, "MaxCount": 1, "SubnetId": self.subnet}
        return str(self.clients.client("ec2", ACCOUNT, REGION).run_instances(**wanted)["Instances"][0]["InstanceId"])

    def managed(self) -> set[str]:
        """Return the instances that an agent of the account has been heard of."""
        return {one["InstanceId"] for one in self.ssm().describe_instance_information()["InstanceInformationList"]}

    def ssm(self) -> Any:
        return self.clients.client("ssm", ACCOUNT, REGION)

    def is_online(self) -> bool:
        found = self.ssm().describe_instance_information()["InstanceInformationList"]
        return [one["PingStatus"] for one in found if one["InstanceId"] == self.instance] == ["Online"]

    def send(self, *lines: str, **parameters: list[str]) -> str:
        answer = self.ssm().send_command(
            InstanceIds=[self.instance],
            DocumentName="AWS-RunShellScript",
            Parameters={"commands": list(lines), **parameters},
        )
        return str(answer["Command"]["CommandId"])

    def told(self, command: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ssm().get_command_invocation(CommandId=command, InstanceId=self.instance)
        return found

    def ended(self, command: str) -> dict[str, Any]:
        until(lambda: self.told(command)["Status"] not in ("Pending", "InProgress", "Cancelling"))
        return self.told(command)


def until(is_so: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be so"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    emulator = LoopbackAws([ACCOUNT, OTHER])
    server = make_server("127.0.0.1", 0, emulator, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    clients = InProcessClients(emulator)
    ec2 = clients.client("ec2", ACCOUNT, REGION)
    vpc = ec2.create_vpc(CidrBlock="10.10.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.10.0.0/24")["Subnet"]["SubnetId"]
    made = Place(clients, f"http://127.0.0.1:{server.server_port}", subnet)
    made.instance = made.made()
    yield made
    server.shutdown()


@pytest.fixture
def start(place: Place, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    services: list[ThreadingHTTPServer] = []

    def run(account: str = ACCOUNT, instance: str = place.instance) -> subprocess.Popen[bytes]:
        handler = type("Metadata", (_Metadata,), {"instance": instance, "account": account})
        service = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        services.append(service)
        threading.Thread(target=service.serve_forever, daemon=True).start()
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        where = f"http://127.0.0.1:{service.server_port}"
        with (tmp_path / "agent.log").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-I", str(SCRIPT), "--endpoint", place.endpoint, "--wait", "2"],
                env={**clean, "AWS_EC2_METADATA_SERVICE_ENDPOINT": where, "HOME": str(tmp_path)},
                stdout=log,
                stderr=log,
                cwd=tmp_path,
            )
        started.append(child)
        return child

    yield run
    for child in started:
        child.terminate()
        child.wait(20)
    for service in services:
        service.shutdown()
        service.server_close()


@pytest.fixture
def agent(place: Place, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> subprocess.Popen[bytes]:
    child = start()
    until(lambda: "registered" in (tmp_path / "agent.log").read_text())
    assert place.is_online()
    return child


def test_a_script_runs_and_its_output_and_exit_code_come_back(place: Place, agent: Any) -> None:
    found = place.ended(place.send("echo to out; echo to err >&2", "pwd", "exit 7", workingDirectory=["/usr"]))
    assert (found["Status"], found["ResponseCode"]) == ("Failed", 7)
    assert (found["StandardOutputContent"], found["StandardErrorContent"]) == ("to out\n/usr\n", "to err\n")


def test_a_script_that_takes_too_long_is_ended_with_what_it_has_started(
    place: Place, agent: Any, tmp_path: Path
) -> None:
    mark = tmp_path / "child"
    command = place.send(f"sleep 1000 & echo $! > {mark}; wait", executionTimeout=["1"])
    found = place.ended(command)
    assert (found["Status"], found["StatusDetails"]) == ("TimedOut", "Execution Timed Out")
    until(lambda: started_at(int(mark.read_text())) is None)


def test_a_running_script_is_cancelled(place: Place, agent: Any, tmp_path: Path) -> None:
    command = place.send("echo begun; sleep 1000")
    until(lambda: place.told(command)["Status"] == "InProgress")
    place.ssm().cancel_command(CommandId=command)
    assert place.ended(command)["Status"] == "Cancelled"


def test_scripts_run_beside_each_other(place: Place, agent: Any, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reads = place.send(f"cat {fifo}")
    writes = place.send(f"echo hello > {fifo}")
    assert place.ended(writes)["Status"] == "Success"
    assert place.ended(reads)["StandardOutputContent"] == "hello\n"


def test_a_flood_of_output_is_cut_and_the_script_does_not_wait_for_its_reader(place: Place, agent: Any) -> None:
    found = place.ended(place.send("head -c 5000000 /dev/zero | tr '\\0' x; echo done >&2"))
    assert (found["Status"], found["StandardErrorContent"]) == ("Success", "done\n")
    assert found["StandardOutputContent"] == "x" * 24_000


def test_an_agent_whose_credentials_are_another_accounts_is_never_managed(
    place: Place, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    of_its_own = place.made()  # the others' agents, of tests before, may just be heard once more
    start(OTHER, of_its_own)
    until(lambda: "AccessDeniedException" in (tmp_path / "agent.log").read_text())
    assert of_its_own not in place.managed()


def test_negative_control_with_those_of_its_own_account_it_is_managed(
    place: Place, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    of_its_own = place.made()
    start(ACCOUNT, of_its_own)
    until(lambda: of_its_own in place.managed())


def test_an_agent_ends_when_told(place: Place, agent: subprocess.Popen[bytes]) -> None:
    agent.terminate()
    assert agent.wait(20) == 0
