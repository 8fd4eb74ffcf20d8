"""Change sets say what would happen, and nothing happens before they are executed."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from stack_templates import parameter, subnet, template, vpc


def plan(account: Any, body: dict[str, Any], kind: str = "UPDATE", name: str = "c", **options: Any) -> dict[str, Any]:
    """Make a change set of stack ``s`` and describe it."""
    cloudformation = account.client("cloudformation")
    cloudformation.create_change_set(
        StackName="s", ChangeSetName=name, ChangeSetType=kind, TemplateBody=json.dumps(body), **options
    )
    return cloudformation.describe_change_set(StackName="s", ChangeSetName=name, IncludePropertyValues=True)


def test_a_change_set_creates_nothing_until_it_is_executed(account: Any) -> None:
    described = plan(account, template(Vpc=vpc()), "CREATE")
    changes = [(c["ResourceChange"]["Action"], c["ResourceChange"]["LogicalResourceId"]) for c in described["Changes"]]
    assert changes == [("Add", "Vpc")]
    assert (account.vpcs(), account.stack("s")["StackStatus"]) == ([], "REVIEW_IN_PROGRESS")
    account.client("cloudformation").execute_change_set(StackName="s", ChangeSetName="c")
    assert (len(account.vpcs()), account.stack("s")["StackStatus"]) == (1, "CREATE_COMPLETE")


def test_a_change_set_tells_the_values_before_and_after_and_whether_they_replace(account: Any) -> None:
    account.create("s", template(Vpc=vpc("10.10.0.0/16")))
    (change,) = plan(account, template(Vpc=vpc("10.20.0.0/16")))["Changes"]
    told = change["ResourceChange"]
    assert (told["Action"], told["Replacement"]) == ("Modify", "True")
    target = told["Details"][0]["Target"]
    assert (target["Name"], target["RequiresRecreation"], target["BeforeValue"], target["AfterValue"]) == (
        "CidrBlock",
        "Always",
        "10.10.0.0/16",
        "10.20.0.0/16",
    )


def test_a_change_set_without_changes_fails_in_the_words_that_the_cdk_knows(account: Any) -> None:
    account.create("s", template(Vpc=vpc()))
    described = plan(account, template(Vpc=vpc()))
    assert (described["Status"], described["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert described["StatusReason"].startswith("The submitted information didn't contain changes.")
    with pytest.raises(ClientError, match="cannot be executed in its current status"):
        account.client("cloudformation").execute_change_set(StackName="s", ChangeSetName="c")


def test_a_property_that_is_not_implemented_fails_the_change_set_with_details(account: Any) -> None:
    described = plan(account, template(Vpc=vpc(Ipv4IpamPoolId="x"), Subnet=subnet(OutpostArn="y")), "CREATE")
    assert described["Status"] == "FAILED"
    assert "AWS::EarlyValidation::PropertyValidation" in described["StatusReason"]
    events = account.client("cloudformation").describe_events(StackName="s", ChangeSetName="c")["OperationEvents"]
    assert [(event["LogicalResourceId"], event["ValidationPath"]) for event in events] == [
        ("Vpc", "/Resources/Vpc/Properties"),
        ("Subnet", "/Resources/Subnet/Properties"),
    ]
    assert "extraneous key [Ipv4IpamPoolId] is not permitted" in events[0]["ValidationStatusReason"]


def test_a_parameter_outside_its_pattern_refuses_the_change_set_and_leaves_no_stack(account: Any) -> None:
    declared = {"Parameters": {"VpcId": {"Type": "String", "AllowedPattern": "^vpc-[0-9a-f]{8,17}$"}}}
    wrong = [{"ParameterKey": "VpcId", "ParameterValue": "pcx-00000000"}]
    with pytest.raises(ClientError, match="Parameter 'VpcId' must match pattern"):
        plan(account, {**declared, **template(Name=parameter({"Ref": "VpcId"}))}, "CREATE", Parameters=wrong)
    assert account.client("cloudformation").list_stacks()["StackSummaries"] == []


def test_executing_a_change_set_uses_the_previous_value_of_a_parameter(account: Any) -> None:
    body = {"Parameters": {"P": {"Type": "String"}}, **template({"O": {"Value": {"Ref": "P"}}}, N=parameter("x"))}
    account.create("s", body, Parameters=[{"ParameterKey": "P", "ParameterValue": "kept"}])
    body["Resources"]["N"] = parameter("y")
    plan(account, body, Parameters=[{"ParameterKey": "P", "UsePreviousValue": True}])
    account.client("cloudformation").execute_change_set(StackName="s", ChangeSetName="c")
    assert account.outputs("s") == {"O": "kept"}


def test_an_import_of_nothing_fails_the_change_set(account: Any) -> None:
    described = plan(account, template(N=parameter({"Fn::ImportValue": "nobody"})), "CREATE")
    assert (described["Status"], described["StatusReason"]) == ("FAILED", "No export named nobody found.")


def test_a_change_set_of_a_stack_that_is_not_there_is_refused(account: Any) -> None:
    with pytest.raises(ClientError, match=r"Stack \[s\] does not exist"):
        plan(account, template(Vpc=vpc()))
