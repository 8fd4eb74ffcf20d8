"""Loopback AWS answers as its rules say, whoever calls, and does the rest as ever."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError
from werkzeug.test import Client

from infra.local.aws.clients import InProcessClients
from infra.local.aws.server import FAILURES, LoopbackAws

MINE, OTHER = "474747474747", "484848484848"


@pytest.fixture
def aws() -> LoopbackAws:
    return LoopbackAws([MINE, OTHER])


def rules(aws: LoopbackAws, *wanted: dict[str, Any]) -> None:
    assert Client(aws).post(FAILURES, json={"rules": list(wanted)}).status_code == 200


def client(aws: LoopbackAws, service: str, account: str = MINE) -> Any:
    """Return a client from outside; those of CloudFormation are ``aws.clients``."""
    return InProcessClients(aws).client(service, account, "us-east-1")


QUOTA = {"service": "ec2", "operation": "CreateVpc", "code": "VpcLimitExceeded", "message": "No more VPCs."}


@pytest.mark.parametrize("from_stack", [True, False])
def test_a_call_gets_the_rules_answer_from_a_stack_and_from_outside(aws: LoopbackAws, from_stack: bool) -> None:
    rules(aws, QUOTA)
    ec2 = aws.clients.client("ec2", MINE, "us-east-1") if from_stack else client(aws, "ec2")
    with pytest.raises(ClientError, match=r"\(VpcLimitExceeded\).*No more VPCs"):
        ec2.create_vpc(CidrBlock="10.10.0.0/16")
    ec2.describe_vpcs()


def test_without_rules_the_same_call_is_done(aws: LoopbackAws) -> None:
    rules(aws, QUOTA)
    rules(aws)
    assert client(aws, "ec2").create_vpc(CidrBlock="10.10.0.0/16")["Vpc"]["VpcId"]


def test_a_rule_is_for_its_account_only(aws: LoopbackAws) -> None:
    rules(aws, {**QUOTA, "account": OTHER})
    client(aws, "ec2", MINE).create_vpc(CidrBlock="10.10.0.0/16")
    with pytest.raises(ClientError):
        client(aws, "ec2", OTHER).create_vpc(CidrBlock="10.10.0.0/16")


def test_a_rule_lets_pass_and_ends_as_it_is_told(aws: LoopbackAws) -> None:
    rules(aws, {**QUOTA, "after": 1, "times": 2})
    outcomes = []
    for _ in range(4):
        try:
            client(aws, "ec2").create_vpc(CidrBlock="10.10.0.0/16")
            outcomes.append("made")
        except ClientError:
            outcomes.append("refused")
    assert outcomes == ["made", "refused", "refused", "made"]
    (told,) = json.loads(Client(aws).get(FAILURES).text)["rules"]
    assert len(told["answered"]) == 2


@pytest.mark.parametrize(
    ("service", "operation", "call"),
    [
        ("cloudformation", "DescribeStacks", lambda c: c.describe_stacks()),
        ("ssm", "PutParameter", lambda c: c.put_parameter(Name="/x", Value="1", Type="String")),
        ("iam", "ListRoles", lambda c: c.list_roles()),
        ("s3", "PUT object", lambda c: c.put_object(Bucket="b", Key="k", Body=b"x")),
        ("s3", "PUT bucket?policy", lambda c: c.put_bucket_policy(Bucket="b", Policy="{}")),
        ("s3", "DELETE bucket", lambda c: c.delete_bucket(Bucket="b")),
        ("sts", "*", lambda c: c.get_caller_identity()),
    ],
)
def test_every_protocol_tells_code_and_message(aws: LoopbackAws, service: str, operation: str, call: Any) -> None:
    rules(aws, {"service": service, "operation": operation, "code": "AccessDenied", "message": "You may not."})
    with pytest.raises(ClientError) as failure:
        call(client(aws, service))
    assert failure.value.response["Error"]["Code"] == "AccessDenied"
    assert failure.value.response["Error"]["Message"] == "You may not."


def test_a_connection_can_break(aws: LoopbackAws) -> None:
    rules(aws, {**QUOTA, "status": 0})
    with pytest.raises((HTTPClientError, ConnectionAbortedError)):
        client(aws, "ec2").create_vpc(CidrBlock="10.10.0.0/16")
