"""Parameters are checked against their declarations, in the words of CreateChangeSet."""

from typing import Any

import pytest

from infra.local.aws.cfn.errors import CloudFormationError
from infra.local.aws.cfn.parameters import Parameter, resolve

PEERING = {"PeeringId": {"Type": "String", "AllowedPattern": "^pcx-[0-9a-f]{8,17}$"}}


def _no_store(name: str) -> str:
    raise KeyError(name)


def _given(name: str, value: str) -> list[dict[str, Any]]:
    return [{"ParameterKey": name, "ParameterValue": value}]


def test_a_value_that_matches_its_pattern_is_taken() -> None:
    assert resolve(PEERING, _given("PeeringId", "pcx-0123456789abcdef0"), {}, _no_store)["PeeringId"].value == (
        "pcx-0123456789abcdef0"
    )


def test_a_value_that_does_not_match_is_refused_with_the_pattern() -> None:
    with pytest.raises(CloudFormationError, match=r"Parameter 'PeeringId' must match pattern \^pcx-"):
        resolve(PEERING, _given("PeeringId", "vpc-0123456789abcdef0"), {}, _no_store)


def test_a_pattern_must_match_the_whole_value() -> None:
    declared = {"Name": {"Type": "String", "AllowedPattern": "[a-z]+"}}
    with pytest.raises(CloudFormationError, match="must match pattern"):
        resolve(declared, _given("Name", "abc1"), {}, _no_store)


def test_the_constraint_description_replaces_the_reason() -> None:
    declared = {"Name": {"Type": "String", "AllowedPattern": "[a-z]+", "ConstraintDescription": "letters only"}}
    with pytest.raises(CloudFormationError, match="Parameter Name failed to satisfy constraint: letters only"):
        resolve(declared, _given("Name", "1"), {}, _no_store)


def test_a_value_outside_the_allowed_ones_is_refused() -> None:
    declared = {"Size": {"Type": "String", "AllowedValues": ["small", "large"]}}
    with pytest.raises(CloudFormationError, match="Parameter 'Size' must be one of AllowedValues"):
        resolve(declared, _given("Size", "huge"), {}, _no_store)


@pytest.mark.parametrize(
    ("value", "complaint"), [("x", "must be a number"), ("0", "not less than 1"), ("9", "not greater than 8")]
)
def test_a_number_keeps_to_its_bounds(value: str, complaint: str) -> None:
    declared = {"Count": {"Type": "Number", "MinValue": 1, "MaxValue": 8}}
    with pytest.raises(CloudFormationError, match=complaint):
        resolve(declared, _given("Count", value), {}, _no_store)


def test_all_missing_values_are_named_at_once() -> None:
    with pytest.raises(CloudFormationError, match=r"Parameters: \[A, B\] must have values"):
        resolve({"A": {"Type": "String"}, "B": {"Type": "String"}}, [], {}, _no_store)


def test_a_parameter_that_the_template_lacks_is_refused() -> None:
    with pytest.raises(CloudFormationError, match=r"Parameters: \[Other\] do not exist in the template"):
        resolve(PEERING, _given("Other", "x"), {}, _no_store)


def test_the_previous_value_can_be_used() -> None:
    given = [{"ParameterKey": "PeeringId", "UsePreviousValue": True}]
    previous = {"PeeringId": Parameter("pcx-00000000", "pcx-00000000")}
    assert resolve(PEERING, given, previous, _no_store)["PeeringId"].raw == "pcx-00000000"


def test_a_value_of_the_parameter_store_is_looked_up() -> None:
    declared = {"Image": {"Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>", "Default": "/images/newest"}}
    image = resolve(declared, [], {}, {"/images/newest": "ami-0fed0000000000001"}.__getitem__)["Image"]
    assert (image.raw, image.value) == ("/images/newest", "ami-0fed0000000000001")


def test_an_unknown_name_in_the_parameter_store_is_refused() -> None:
    declared = {"Image": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/nowhere"}}
    with pytest.raises(CloudFormationError, match=r"Unable to fetch parameters \[/nowhere\] from parameter store"):
        resolve(declared, [], {}, _no_store)


def test_a_type_that_needs_a_look_up_in_the_account_is_refused() -> None:
    with pytest.raises(CloudFormationError, match="Unrecognized parameter type: AWS::EC2::VPC::Id"):
        resolve({"Vpc": {"Type": "AWS::EC2::VPC::Id", "Default": "vpc-1"}}, [], {}, _no_store)
