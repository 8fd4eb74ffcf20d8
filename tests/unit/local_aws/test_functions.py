"""Intrinsic functions give what the CloudFormation User Guide says."""

import base64
import json
from typing import Any

import pytest

from infra.local.aws.cfn.errors import TemplateError
from infra.local.aws.cfn.functions import KNOWN_AFTER_APPLY, Place, Resolver
from infra.local.aws.cfn.parameters import Parameter
from infra.local.aws.cfn.template import parse

PLACE = Place(
    "111111111111", "us-east-1", "eicu-SiteNetwork", "arn:aws:cloudformation:us-east-1:111111111111:stack/x/1"
)


class World:
    """A stack with one resource, an export and a parameter."""

    def reference(self, logical_id: str) -> str | None:
        return {"Vpc": "vpc-0a"}.get(logical_id)

    def attribute(self, logical_id: str, name: str) -> str | list[str] | None:
        return {("Vpc", "CidrBlock"): "10.1.0.0/16"}.get((logical_id, name))

    def import_value(self, name: str) -> str:
        return {"hub-vpc": "vpc-0b"}[name]

    def dynamic_reference(self, service: str, reference: str) -> str:
        return f"<{service}|{reference}>"


def value(expression: Any, **sections: Any) -> Any:
    """Resolve one expression in a template that has a Vpc, which exists, and a Subnet, which does not yet."""
    resources = {"Vpc": {"Type": "AWS::EC2::VPC"}, "Subnet": {"Type": "AWS::EC2::Subnet"}}
    template = parse(json.dumps({"Resources": resources, **sections}))
    parameters = {"Zones": Parameter("a,b", ("a", "b")), "Stage": Parameter("prod", "prod")}
    return Resolver(template, parameters, PLACE, World()).value(expression)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"Ref": "Vpc"}, "vpc-0a"),
        ({"Ref": "Stage"}, "prod"),
        ({"Ref": "Zones"}, ["a", "b"]),
        ({"Ref": "AWS::AccountId"}, "111111111111"),
        ({"Ref": "AWS::StackName"}, "eicu-SiteNetwork"),
        ({"Fn::GetAtt": ["Vpc", "CidrBlock"]}, "10.1.0.0/16"),
        ({"Fn::GetAtt": "Vpc.CidrBlock"}, "10.1.0.0/16"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Stage"}, "c"]]}, "a-prod-c"),
        ({"Fn::Split": ["|", "a|b|c"]}, ["a", "b", "c"]),
        ({"Fn::Select": ["1", ["apples", "grapes", "oranges"]]}, "grapes"),
        ({"Fn::Sub": "${AWS::Region}:${Vpc}:${Vpc.CidrBlock}:${!X}"}, "us-east-1:vpc-0a:10.1.0.0/16:${X}"),
        ({"Fn::Sub": ["www.${Domain}", {"Domain": {"Ref": "Stage"}}]}, "www.prod"),
        ({"Fn::Base64": "echo"}, base64.b64encode(b"echo").decode()),
        ({"Fn::ImportValue": "hub-vpc"}, "vpc-0b"),
        ({"Fn::GetAZs": ""}, ["us-east-1a", "us-east-1b", "us-east-1c"]),
        ({"Fn::Cidr": ["192.168.0.0/24", 3, 5]}, ["192.168.0.0/27", "192.168.0.32/27", "192.168.0.64/27"]),
        ({"Fn::Equals": [{"Ref": "Stage"}, "prod"]}, True),
        ({"Fn::And": [True, {"Fn::Not": [True]}]}, False),
        ({"Fn::Or": [False, {"Fn::Not": [False]}]}, True),
        ({"Fn::Contains": [["dev", "prod"], {"Ref": "Stage"}]}, True),
        ("{{resolve:ssm:/federate/x}}", "<ssm|/federate/x>"),
        ({"Plain": {"Nested": [{"Ref": "Vpc"}, 1, True]}}, {"Plain": {"Nested": ["vpc-0a", 1, True]}}),
    ],
)  # fmt: skip
def test_a_function_gives_what_the_guide_says(expression: Any, expected: Any) -> None:
    assert value(expression) == expected


def test_a_condition_chooses_and_no_value_takes_a_property_away() -> None:
    conditions = {"IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]}, "IsDev": {"Fn::Not": [{"Condition": "IsProd"}]}}
    chosen = {"Fn::If": ["IsProd", "large", "small"]}
    absent = {"Fn::If": ["IsDev", "set", {"Ref": "AWS::NoValue"}]}
    assert value({"Size": chosen, "Debug": absent}, Conditions=conditions) == {"Size": "large"}


def test_a_mapping_is_looked_up_by_two_keys() -> None:
    mappings = {"Images": {"us-east-1": {"gpu": "ami-1"}}}
    assert value({"Fn::FindInMap": ["Images", {"Ref": "AWS::Region"}, "gpu"]}, Mappings=mappings) == "ami-1"


@pytest.mark.parametrize(
    "expression",
    [
        {"Ref": "Subnet"},
        {"Fn::Select": [0, {"Fn::GetAtt": ["Subnet", "Ids"]}]},
        {"Fn::Split": [",", {"Ref": "Subnet"}]},
        {"Fn::Base64": {"Fn::Sub": "id=${Subnet}"}},
    ],
)
def test_what_rests_on_a_resource_to_come_is_known_after_it_has_come(expression: Any) -> None:
    assert value(expression) == KNOWN_AFTER_APPLY


@pytest.mark.parametrize("function", ["Fn::ToJsonString", "Fn::Length", "Fn::Transform", "Fn::Joni"])
def test_a_function_that_is_not_implemented_is_refused_by_name(function: str) -> None:
    with pytest.raises(TemplateError, match=f"Unrecognized function {function}"):
        value({function: "x"})


def test_a_rule_that_does_not_hold_stops_the_template() -> None:
    rules = {
        "Old": {
            "Assertions": [
                {"Assert": {"Fn::Not": [{"Fn::Contains": [["1", "2"], "2"]}]}, "AssertDescription": "too old"}
            ]
        }
    }
    template = parse(json.dumps({"Resources": {"Vpc": {"Type": "AWS::EC2::VPC"}}, "Rules": rules}))
    with pytest.raises(TemplateError, match="too old"):
        Resolver(template, {}, PLACE, World()).check_rules()
