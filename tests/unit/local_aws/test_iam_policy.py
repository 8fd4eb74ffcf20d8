"""The small policy evaluation answers as IAM's rules say, and an unknown condition never opens a door."""

from typing import Any

import pytest

from infra.local.aws.iam_policy import allows, condition_holds, trusts

ACCEPT = "ec2:AcceptVpcPeeringConnection"
HUB = "arn:aws:ec2:us-east-1:333333333333:vpc/vpc-0a"


def _allow(resource: str = "*", action: Any = ACCEPT, effect: str = "Allow", **condition: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": effect, "Action": action, "Resource": resource, "Condition": condition}]}


def test_what_no_statement_allows_is_denied() -> None:
    assert not allows([], ACCEPT, HUB, {})
    assert not allows([_allow(action="ec2:CreateVpcPeeringConnection")], ACCEPT, HUB, {})
    assert not allows([_allow(resource=HUB.replace("0a", "0b"))], ACCEPT, HUB, {})


def test_an_allow_with_wildcards_allows() -> None:
    assert allows([_allow(action=["ec2:Accept*"], resource="arn:aws:ec2:*:333333333333:vpc/*")], ACCEPT, HUB, {})


def test_a_deny_wins() -> None:
    assert not allows([_allow(), _allow(effect="Deny")], ACCEPT, HUB, {})


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"ArnEquals": {"ec2:AccepterVpc": HUB}}, True),
        ({"ArnLike": {"ec2:AccepterVpc": "arn:aws:ec2:us-east-1:333333333333:vpc/*"}}, True),
        ({"ArnLike": {"ec2:AccepterVpc": "arn:aws:ec2:us-east-1:222222222222:vpc/*"}}, False),
        ({"StringEquals": {"ec2:AccepterVpc": [HUB, "x"]}}, True),
        ({"StringNotEquals": {"ec2:AccepterVpc": HUB}}, False),
        ({"StringEquals": {"ec2:Missing": "x"}}, False),
        ({"StringEqualsIfExists": {"ec2:Missing": "x"}}, True),
        ({"StringNotEquals": {"ec2:Missing": "x"}}, True),
        ({"ArnNotEquals": {"ec2:Missing": HUB}}, True),
        ({"ArnNotEquals": {"ec2:AccepterVpc": HUB}}, False),
        ({"ArnNotEquals": {"ec2:AccepterVpc": HUB.replace("0a", "0b")}}, True),
        ({"Null": {"ec2:Missing": "true"}}, True),
        ({"Null": {"ec2:AccepterVpc": "true"}}, False),
        ({"Null": {"ec2:AccepterVpc": "false"}}, True),
        ({"DateNotEquals": {"ec2:Missing": "2030-01-01"}}, False),
        ({"DateLessThan": {"ec2:AccepterVpc": "2030-01-01"}}, False),
    ],
)
def test_conditions_compare_as_their_operators_say(condition: dict[str, Any], holds: bool) -> None:
    assert condition_holds(condition, {"ec2:AccepterVpc": HUB}) is holds


@pytest.mark.parametrize(
    ("principal", "trusted"),
    [
        ({"AWS": "arn:aws:iam::111111111111:root"}, True),
        ({"AWS": ["222222222222", "111111111111"]}, True),
        ("*", True),
        ({"AWS": "arn:aws:iam::222222222222:root"}, False),
        ({"Service": "ec2.amazonaws.com"}, False),
    ],
)
def test_a_role_trusts_whom_its_policy_names(principal: Any, trusted: bool) -> None:
    policy = {"Statement": {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}}
    assert trusts(policy, "111111111111", {}) is trusted


@pytest.mark.parametrize(("version", "holds"), [("1.0", True), ("1.1", True), ("1.2", False), ("1.3", False)])
def test_numbers_are_compared_as_numbers(version: str, holds: bool) -> None:
    assert condition_holds({"NumericLessThan": {"s3:TlsVersion": "1.2"}}, {"s3:TlsVersion": version}) is holds
