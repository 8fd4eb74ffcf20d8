"""The agent's stand-in talks to its account through the VPC's own endpoint, over TLS and under AWS's name."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from urllib3.util import connection as urllib3_connection
from werkzeug.serving import make_server

from infra.local.aws.accounts import SECRET, static_key
from infra.local.aws.clients import InProcessClients
from infra.local.aws.server import LoopbackAws
from infra.local.twin.machines.ssm_agent import Agent, Gate, Refused
from infra.local.twin.services.authority import TwinAuthority
from infra.local.twin.services.endpoints import Endpoint, EndpointService
from infra.local.twin.services.serving import shut

ACCOUNT, OTHER, REGION = "620000000001", "620000000002", "us-east-1"
NAME = f"ssmmessages.{REGION}.amazonaws.com"


@pytest.fixture(scope="module")
def emulator() -> Iterator[tuple[InProcessClients, tuple[str, int], str]]:
    """Clients of loopback AWS, its address, and an instance in it."""
    app = LoopbackAws([ACCOUNT, OTHER])
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    clients = InProcessClients(app)
    ec2 = clients.client("ec2", ACCOUNT, REGION)
    vpc = ec2.create_vpc(CidrBlock="10.10.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.10.0.0/24")["Subnet"]["SubnetId"]
    made = ec2.run_instances(ImageId="ami-0fed0000000000001", MinCount=1, MaxCount=1, SubnetId=subnet)
    yield clients, ("127.0.0.1", server.server_port), made["Instances"][0]["InstanceId"]
    server.shutdown()


@pytest.fixture
def node(emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The instance, in whose network AWS's name leads to the endpoint and whose environment trusts the twin."""
    _, upstream, instance = emulator
    authority = TwinAuthority.load_or_make(tmp_path / "authority")
    accounts = {static_key(account): account for account in (ACCOUNT, OTHER)}
    service = EndpointService(upstream, authority, accounts.get)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.ca_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", static_key(ACCOUNT))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = listener.getsockname()

        def resolved(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
            assert address == (NAME, 443)
            return socket.create_connection(here, 5)

        monkeypatch.setattr(urllib3_connection, "create_connection", resolved)
        thread = threading.Thread(target=service.serve, args=(listener, Endpoint("ssmmessages", REGION, ACCOUNT)))
        thread.start()
        yield str(instance)
        shut(listener)
        thread.join(10)


def test_a_command_comes_and_goes_through_the_endpoint(emulator: Any, node: str) -> None:
    clients, _, _ = emulator
    agent = Agent(Gate(f"https://{NAME}", REGION, node), {"PlatformName": "Debian"}, wait=1)
    thread = threading.Thread(target=agent.run, daemon=True)
    ssm = clients.client("ssm", ACCOUNT, REGION)
    thread.start()
    try:
        deadline = threading.Event()
        for _ in range(200):
            if ssm.describe_instance_information()["InstanceInformationList"]:
                break
            deadline.wait(0.05)
        sent = ssm.send_command(
            InstanceIds=[node], DocumentName="AWS-RunShellScript", Parameters={"commands": ["echo through"]}
        )["Command"]["CommandId"]
        for _ in range(200):
            told = ssm.get_command_invocation(CommandId=sent, InstanceId=node)
            if told["Status"] not in ("Pending", "InProgress"):
                break
            deadline.wait(0.05)
        assert (told["Status"], told["StandardOutputContent"]) == ("Success", "through\n")
    finally:
        agent.close()
        thread.join(10)


def test_credentials_of_another_account_do_not_pass_the_endpoint(node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", static_key(OTHER))
    with pytest.raises(Refused, match="VPC endpoint"):
        Gate(f"https://{NAME}", REGION, node).ask("register")
