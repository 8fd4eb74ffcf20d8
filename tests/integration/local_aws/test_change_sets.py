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


def log_group(policy: str = "Retain", **properties: Any) -> dict[str, Any]:
    named = {"LogGroupName": "/federate/eicu/hospital-a", **properties}
    return {"Type": "AWS::Logs::LogGroup", "DeletionPolicy": policy, "Properties": named}


def execute(account: Any) -> str:
    """Execute change set ``c`` of stack ``s``; return the stack's status."""
    account.client("cloudformation").execute_change_set(StackName="s", ChangeSetName="c")
    return str(account.stack("s")["StackStatus"])


@pytest.fixture
def kept(account: Any) -> Any:
    """An account whose log group is what another deployment left."""
    logs = account.client("logs")
    logs.create_log_group(logGroupName="/federate/eicu/hospital-a")
    logs.create_log_stream(logGroupName="/federate/eicu/hospital-a", logStreamName="of-before")
    return account


def streams(account: Any) -> list[str]:
    told = account.client("logs").describe_log_streams(logGroupName="/federate/eicu/hospital-a")["logStreams"]
    return [stream["logStreamName"] for stream in told]


@pytest.mark.parametrize("policy", ["Retain", "RetainExceptOnCreate"])
def test_what_exists_under_its_name_is_imported_if_that_is_asked_for(kept: Any, policy: str) -> None:
    body = template({"Arn": {"Value": {"Fn::GetAtt": ["Log", "Arn"]}}}, Log=log_group(policy), Vpc=vpc())
    described = plan(kept, body, "CREATE", ImportExistingResources=True)
    changes = {c["ResourceChange"]["LogicalResourceId"]: c["ResourceChange"] for c in described["Changes"]}
    assert {name: change["Action"] for name, change in changes.items()} == {"Log": "Import", "Vpc": "Add"}
    assert changes["Log"]["PhysicalResourceId"] == "/federate/eicu/hospital-a"
    assert execute(kept) == "CREATE_COMPLETE"
    assert ("Log", "IMPORT_COMPLETE") in [(where, what) for where, what, _ in kept.events("s")]
    assert streams(kept) == ["of-before"]
    assert kept.outputs("s")["Arn"].endswith(":log-group:/federate/eicu/hospital-a:*")


def test_an_import_changes_nothing_of_what_it_takes(kept: Any) -> None:
    plan(kept, template(Log=log_group(RetentionInDays=7)), "CREATE", ImportExistingResources=True)
    execute(kept)
    (group,) = kept.client("logs").describe_log_groups()["logGroups"]
    assert "retentionInDays" not in group
    assert kept.update("s", template(Log=log_group(RetentionInDays=30))) == "UPDATE_COMPLETE"
    assert kept.client("logs").describe_log_groups()["logGroups"][0]["retentionInDays"] == 30


def test_without_being_asked_for_nothing_is_imported(kept: Any) -> None:
    described = plan(kept, template(Log=log_group()), "CREATE")
    assert [c["ResourceChange"]["Action"] for c in described["Changes"]] == ["Add"]
    assert execute(kept) == "ROLLBACK_COMPLETE"
    assert "already exists" in kept.reason("s", "Log", "CREATE_FAILED")


def test_what_the_template_would_delete_is_not_imported(kept: Any) -> None:
    described = plan(kept, template(Log=log_group("Delete")), "CREATE", ImportExistingResources=True)
    assert described["Status"] == "FAILED"
    assert "The affected resources are Log ({LogGroupName=/federate/eicu/hospital-a})" in described["StatusReason"]


def test_what_belongs_to_another_stack_is_not_imported(account: Any) -> None:
    assert account.create("first", template(Log=log_group())) == "CREATE_COMPLETE"
    described = plan(account, template(Log=log_group()), "CREATE", ImportExistingResources=True)
    assert (described["Status"], "stack first" in described["StatusReason"]) == ("FAILED", True)


@pytest.mark.parametrize("policy", ["Retain", "RetainExceptOnCreate"])
def test_what_was_imported_stays_when_the_stack_cannot_be_made(kept: Any, policy: str) -> None:
    wrong = {**subnet("10.99.0.0/24"), "DependsOn": ["Log"]}
    plan(kept, template(Log=log_group(policy), Vpc=vpc(), Subnet=wrong), "CREATE", ImportExistingResources=True)
    assert execute(kept) == "ROLLBACK_COMPLETE"
    assert streams(kept) == ["of-before"]
