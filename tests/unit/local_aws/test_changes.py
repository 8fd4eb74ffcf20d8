"""The count of changes rises with what changes EC2, and with nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from infra.local.aws.clients import InProcessClients
from infra.local.aws.server import LoopbackAws

ACCOUNT = "474747474747"


@pytest.fixture
def aws() -> LoopbackAws:
    return LoopbackAws([ACCOUNT])


def count(aws: LoopbackAws) -> int:
    return aws._services.count


def client(aws: LoopbackAws, service: str) -> Any:
    return InProcessClients(aws._services).client(service, ACCOUNT, "us-east-1")


def test_a_look_is_no_change(aws: LoopbackAws) -> None:
    before = count(aws)
    client(aws, "ec2").describe_vpcs()
    client(aws, "ssm").put_parameter(Name="/x", Value="1", Type="String")
    assert count(aws) == before


def test_what_is_made_is_a_change_and_is_made(aws: LoopbackAws) -> None:
    before = count(aws)
    made = client(aws, "ec2").create_vpc(CidrBlock="10.10.0.0/16")["Vpc"]
    assert count(aws) > before
    assert made["CidrBlock"] == "10.10.0.0/16"


def test_what_fails_counts_as_well(aws: LoopbackAws) -> None:
    before = count(aws)
    with pytest.raises(Exception, match="InvalidVpcID"):
        client(aws, "ec2").delete_vpc(VpcId="vpc-00000000")
    assert count(aws) > before
