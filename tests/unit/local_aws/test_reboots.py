"""``ec2:RebootInstances`` leaves an instance running, and tells whoever gives it a body, once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from werkzeug.test import Client

from infra.local.aws.clients import InProcessClients
from infra.local.aws.seeds import OWN_IMAGE
from infra.local.aws.server import REBOOTS, LoopbackAws

ACCOUNT = "484848484848"


@pytest.fixture(scope="module")
def aws() -> LoopbackAws:
    return LoopbackAws([ACCOUNT])


@pytest.fixture(scope="module")
def ec2(aws: LoopbackAws) -> Any:
    return InProcessClients(aws._services).client("ec2", ACCOUNT, "us-east-1")


@pytest.fixture(scope="module")
def subnet(ec2: Any) -> str:
    vpc = ec2.create_vpc(CidrBlock="10.10.0.0/16")["Vpc"]["VpcId"]
    return str(ec2.create_subnet(VpcId=vpc, CidrBlock="10.10.0.0/24")["Subnet"]["SubnetId"])


@pytest.fixture
def instance(aws: LoopbackAws, ec2: Any, subnet: str) -> Iterator[str]:
    """A running instance; nothing is asked of it yet."""
    made = ec2.run_instances(ImageId=OWN_IMAGE, MinCount=1, MaxCount=1, SubnetId=subnet)["Instances"][0]
    taken(aws)
    yield str(made["InstanceId"])
    ec2.terminate_instances(InstanceIds=[made["InstanceId"]])


def taken(aws: LoopbackAws) -> list[str]:
    """Take the reboots as the twin does."""
    answer = Client(aws).post(REBOOTS)
    assert answer.status_code == 200
    return list(answer.get_json()["instances"])


def state(ec2: Any, instance: str) -> str:
    found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    return str(found["State"]["Name"])


def test_a_reboot_is_told_once_and_the_instance_runs_on(aws: LoopbackAws, ec2: Any, instance: str) -> None:
    before = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    ec2.reboot_instances(InstanceIds=[instance])
    assert state(ec2, instance) == "running"
    assert ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0] == before
    assert taken(aws) == [instance]
    assert taken(aws) == []


def test_a_reboot_is_a_change_for_who_keeps_a_picture(aws: LoopbackAws, ec2: Any, instance: str) -> None:
    before = aws._services.count
    ec2.reboot_instances(InstanceIds=[instance])
    assert aws._services.count > before


def test_a_stopped_instance_is_refused_and_stays_stopped(aws: LoopbackAws, ec2: Any, instance: str) -> None:
    ec2.stop_instances(InstanceIds=[instance])
    with pytest.raises(ClientError, match="IncorrectInstanceState"):
        ec2.reboot_instances(InstanceIds=[instance])
    assert state(ec2, instance) == "stopped"
    assert taken(aws) == []


def test_a_terminated_instance_is_passed_over_and_stays_terminated(aws: LoopbackAws, ec2: Any, instance: str) -> None:
    ec2.terminate_instances(InstanceIds=[instance])
    ec2.reboot_instances(InstanceIds=[instance])
    assert state(ec2, instance) == "terminated"
    assert taken(aws) == []


def test_one_that_is_not_there_is_refused_and_none_is_rebooted(aws: LoopbackAws, ec2: Any, instance: str) -> None:
    with pytest.raises(ClientError, match=r"InvalidInstanceID\.NotFound"):
        ec2.reboot_instances(InstanceIds=[instance, "i-0123456789abcdef0"])
    assert taken(aws) == []


def test_nobody_takes_reboots_by_looking(aws: LoopbackAws, ec2: Any, instance: str) -> None:
    ec2.reboot_instances(InstanceIds=[instance])
    assert Client(aws).get(REBOOTS).status_code == 404
    assert taken(aws) == [instance]
