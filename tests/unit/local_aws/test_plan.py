"""A change set says what would happen: in place, by replacement, or not knowable before."""

import json
from typing import Any

import pytest

from infra.local.aws.cfn.errors import CloudFormationError, TemplateError
from infra.local.aws.cfn.functions import Resolver
from infra.local.aws.cfn.plan import Change, check_capabilities, check_types, invalid_properties, plan
from infra.local.aws.cfn.stack import Resource, Stack, Stacks
from infra.local.aws.cfn.template import parse
from infra.local.aws.cfn.world import StackWorld
from infra.local.aws.resources import handlers

HANDLERS = handlers()
VPC = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}
SUBNET = {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.0.0/24"}}


class NoClients:
    def client(self, service: str, account: str, region: str) -> Any:
        raise AssertionError("planning calls no service")


def _existing(name: str, definition: dict[str, Any], properties: dict[str, Any]) -> Resource:
    return Resource(name, definition["Type"], f"{name}-id", f"{name}-id", {}, properties, {}, "Delete", "Delete")


def planned(resources: dict[str, Any], tags: dict[str, str] | None = None) -> tuple[Change, ...]:
    """Plan against a stack that has the VPC and the subnet above."""
    stack = Stack("111111111111", "us-east-1", "s")
    stack.resources = {
        "Vpc": _existing("Vpc", VPC, {"CidrBlock": "10.0.0.0/16"}),
        "Subnet": _existing("Subnet", SUBNET, {"VpcId": "Vpc-id", "CidrBlock": "10.0.0.0/24"}),
    }
    template = parse(json.dumps({"Resources": resources}))

    def resolver(hidden: frozenset[str]) -> Resolver:
        return Resolver(template, {}, stack.place, StackWorld(stack, Stacks(), NoClients(), hidden))

    return plan(template, stack.resources, HANDLERS, tags or {}, resolver)


def _with(definition: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {**definition, "Properties": {**definition["Properties"], **properties}}


def test_the_same_template_changes_nothing() -> None:
    assert planned({"Vpc": VPC, "Subnet": SUBNET}) == ()


def test_an_updatable_property_is_changed_in_place() -> None:
    (change,) = planned({"Vpc": VPC, "Subnet": _with(SUBNET, MapPublicIpOnLaunch=True)})
    assert (change.action, change.logical_id, change.replacement, change.scope) == (
        "Modify",
        "Subnet",
        "False",
        ("Properties",),
    )


def test_a_create_only_property_replaces_and_what_rests_on_it_perhaps() -> None:
    vpc, subnet = planned({"Vpc": _with(VPC, CidrBlock="10.1.0.0/16"), "Subnet": SUBNET})
    assert (vpc.replacement, subnet.replacement) == ("True", "Conditional")


def test_stack_tags_reach_every_resource_that_takes_tags() -> None:
    changes = planned({"Vpc": VPC, "Subnet": SUBNET}, tags={"Project": "eicu"})
    assert [(change.logical_id, change.scope, change.replacement) for change in changes] == [
        ("Vpc", ("Tags",), "False"),
        ("Subnet", ("Tags",), "False"),
    ]


def test_added_resources_come_in_order_of_creation_and_removed_ones_last() -> None:
    group = {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "g", "VpcId": {"Ref": "Vpc"}}}
    changes = planned({"Group": group, "Vpc": VPC})
    assert [(change.action, change.logical_id) for change in changes] == [("Add", "Group"), ("Remove", "Subnet")]


def test_a_resource_cannot_become_one_of_another_type() -> None:
    with pytest.raises(TemplateError, match="Update of resource type is not permitted"):
        planned({"Vpc": VPC, "Subnet": {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": {"Ref": "Vpc"}}}})


def test_resource_types_that_are_not_implemented_are_refused_together() -> None:
    template = parse(
        json.dumps({"Resources": {"A": {"Type": "AWS::Lambda::Function"}, "B": {"Type": "Custom::X"}, "V": VPC}})
    )
    with pytest.raises(TemplateError, match=r"Unrecognized resource types: \[AWS::Lambda::Function, Custom::X\]"):
        check_types(template, HANDLERS)


def test_every_unknown_or_missing_property_is_found_at_once() -> None:
    template = parse(
        json.dumps(
            {"Resources": {"Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlok": "x", "Ipv4IpamPoolId": "y"}}}}
        )
    )
    messages = [invalid.message for invalid in invalid_properties(template, HANDLERS)]
    assert [message.split("]")[0] for message in messages] == [
        "#: extraneous key [CidrBlok",
        "#: extraneous key [Ipv4IpamPoolId",
        "#: required key [CidrBlock",
    ]


@pytest.mark.parametrize(
    ("properties", "given", "wanted"),
    [
        ({}, (), "CAPABILITY_IAM"),
        ({"RoleName": "r"}, ("CAPABILITY_IAM",), "CAPABILITY_NAMED_IAM"),
    ],
)
def test_iam_resources_need_an_acknowledged_capability(
    properties: dict[str, Any], given: tuple[str, ...], wanted: str
) -> None:
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}, **properties}}
    template = parse(json.dumps({"Resources": {"Role": role}}))
    with pytest.raises(CloudFormationError, match=wanted):
        check_capabilities(template, HANDLERS, given)
    check_capabilities(template, HANDLERS, ("CAPABILITY_NAMED_IAM",))
