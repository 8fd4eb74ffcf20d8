"""The commands of docs/deploy-by-hand.md, run as they stand there against AWS on loopback, one account at a time."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).parents[3]
DOCUMENT = CHECKOUT / "docs" / "deploy-by-hand.md"
ACCOUNTS = {"aggregator": "333333333333", "hospital-a": "111111111111"}
NETWORK = "eicu-SiteNetwork-hospital-a"


@dataclass(frozen=True)
class Loopback:
    """Three accounts on loopback, and a shell in which the document's commands run."""

    folder: Path
    environment: dict[str, str]

    def session(self, profile: str) -> Any:
        key = f"AKIAEMUL{ACCOUNTS[profile]}"
        return boto3.Session(aws_access_key_id=key, aws_secret_access_key="-", region_name="us-east-1")

    def client(self, profile: str, service: str) -> Any:
        return self.session(profile).client(service, endpoint_url=self.environment["AWS_ENDPOINT_URL"])

    def stacks(self, profile: str) -> dict[str, dict[str, str]]:
        """Return the outputs of the account's stacks by stack name."""
        found = self.client(profile, "cloudformation").describe_stacks()["Stacks"]
        return {s["StackName"]: {o["OutputKey"]: o["OutputValue"] for o in s.get("Outputs", [])} for s in found}

    def prefix_list(self, profile: str) -> str:
        name = {"Name": "prefix-list-name", "Values": ["com.amazonaws.us-east-1.s3"]}
        answer = self.client(profile, "ec2").describe_managed_prefix_lists(Filters=[name])
        return str(answer["PrefixLists"][0]["PrefixListId"])

    def node(self) -> dict[str, Any]:
        """Return the instance of the site's node stack."""
        instance = self.stacks("hospital-a")["eicu-SiteNode-hospital-a"]["InstanceId"]
        answer = self.client("hospital-a", "ec2").describe_instances(InstanceIds=[instance])
        found: dict[str, Any] = answer["Reservations"][0]["Instances"][0]
        return found

    def run(self, command: str, **values: str) -> None:
        """Run a command of the document with its example identifiers replaced by those of this deployment."""
        for example, real in values.items():
            command = re.sub(rf"\b{example}-[0-9a-f]+\b", real, command)
        command = command.replace(".federate/hand-over.json", str(self.folder / "hand-over.json"))
        command += f" --output {self.folder}/cdk.out"
        command += {"deploy": " --require-approval never", "destroy": " --force"}.get(command.split()[1], "")
        finished = subprocess.run(
            ["bash", "-ec", f"{_preparation()}\n{command}"],
            cwd=CHECKOUT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, f"{command}\n{finished.stdout}\n{finished.stderr}"


def _blocks() -> list[str]:
    return re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text("utf-8"), flags=re.DOTALL)


def _preparation() -> str:
    return next(block for block in _blocks() if block.startswith("export PATH"))


def _commands() -> list[str]:
    """Return the document's cdk commands in their order."""
    lines = "\n".join(_blocks()).replace("\\\n", " ").splitlines()
    return [line.split(" #")[0].strip() for line in lines if line.startswith("cdk ")]


@pytest.fixture
def loopback(tmp_path: Path) -> Iterator[Loopback]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    accounts = ",".join(ACCOUNTS.values())
    server = subprocess.Popen(
        [sys.executable, "-m", "infra.local.aws", "--port", str(port), "--accounts", accounts], cwd=CHECKOUT
    )
    config = "".join(f"[profile {name}]\nregion = us-east-1\n" for name in ACCOUNTS)
    keys = "".join(
        f"[{name}]\naws_access_key_id = AKIAEMUL{account}\naws_secret_access_key = -\n"
        for name, account in ACCOUNTS.items()
    )
    (tmp_path / "config").write_text(config, "utf-8")
    (tmp_path / "credentials").write_text(keys, "utf-8")
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "CDK_VALIDATION": "false",
    }
    environment.pop("FEDERATE_FILE", None)
    try:
        _wait_until_healthy(f"http://127.0.0.1:{port}/_federate/health", server)
        yield Loopback(tmp_path, environment)
    finally:
        server.terminate()
        server.wait(timeout=20)


def _wait_until_healthy(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError):
            assert server.poll() is None, "the emulator ended"
            assert time.monotonic() < deadline, "the emulator did not come up"
            time.sleep(0.05)


def test_the_document_holds_from_the_hubs_deployment_to_a_hospital_leaving(loopback: Loopback) -> None:
    hub, review, site, link, hub_node, diff, remove_node, new_node, unlink, leave = _commands()

    loopback.run(hub, pl=loopback.prefix_list("aggregator"))
    vpc = loopback.stacks("aggregator")["eicu-HubNetwork"]["VpcId"]

    loopback.run(review)
    loopback.run(site, vpc=vpc, pl=loopback.prefix_list("hospital-a"))
    hand_over = json.loads((loopback.folder / "hand-over.json").read_text("utf-8"))[NETWORK]
    assert set(loopback.stacks("hospital-a")) == {f"eicu-Site{p}-hospital-a" for p in ("Storage", "Network", "Node")}

    loopback.run(link, pcx=hand_over["PeeringId"], sg=hand_over["NodeSecurityGroupId"])
    loopback.run(hub_node)
    group = loopback.stacks("aggregator")["eicu-HubNetwork"]["NodeSecurityGroupId"]
    answer = loopback.client("aggregator", "ec2").describe_security_groups(GroupIds=[group])
    ports = {(admitted["FromPort"], admitted["ToPort"]) for admitted in answer["SecurityGroups"][0]["IpPermissions"]}
    assert ports == {(8890, 8890), (22, 22)}  # 22 for the VPC's own Instance Connect Endpoint
    (admitted,) = (rule for rule in answer["SecurityGroups"][0]["IpPermissions"] if rule["FromPort"] == 8890)
    assert [pair["GroupId"] for pair in admitted["UserIdGroupPairs"]] == [hand_over["NodeSecurityGroupId"]]

    loopback.run(diff)
    before = loopback.node()
    loopback.run(remove_node)
    loopback.run(new_node)
    after = loopback.node()
    assert after["InstanceId"] != before["InstanceId"]
    assert after["PrivateIpAddress"] == before["PrivateIpAddress"] == "10.10.0.10"
    state_volume = loopback.stacks("hospital-a")["eicu-SiteStorage-hospital-a"]["StateVolumeId"]
    assert state_volume in {mapping["Ebs"]["VolumeId"] for mapping in after["BlockDeviceMappings"]}

    loopback.run(unlink)
    loopback.run(leave)
    assert loopback.stacks("hospital-a") == {}
    volumes = loopback.client("hospital-a", "ec2").describe_volumes()["Volumes"]
    assert [volume["VolumeId"] for volume in volumes] == [state_volume]
    assert len(loopback.client("hospital-a", "s3").list_buckets()["Buckets"]) == 2  # the log of who asked for what
    assert loopback.client("hospital-a", "iam").list_roles()["Roles"] == []
