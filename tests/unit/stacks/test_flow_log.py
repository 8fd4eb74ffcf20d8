"""Every VPC has a flow log of all its traffic, which nobody but AWS's own service writes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

NETWORKS = ("HubNetwork", "SiteNetwork-hospital-a", "SiteNetwork-hospital-b")
Template = dict[str, Any]


def _unwatched(template: Template) -> set[str]:
    """Return the VPCs of a template of which not all traffic is logged."""
    resources = template["Resources"]
    watched = {
        r["Properties"]["ResourceId"]["Ref"]
        for r in resources.values()
        if r["Type"] == "AWS::EC2::FlowLog" and r["Properties"]["TrafficType"] == "ALL"
    }
    return {name for name, r in resources.items() if r["Type"] == "AWS::EC2::VPC"} - watched


@pytest.mark.parametrize("stack", NETWORKS)
def test_all_traffic_of_the_vpc_is_logged(example: Any, stack: str) -> None:
    assert _unwatched(example.templates[stack]) == set()


def test_a_vpc_without_a_flow_log_would_be_noticed(example: Any) -> None:
    template = copy.deepcopy(example.templates["HubNetwork"])
    template["Resources"]["FlowLog"]["Properties"]["TrafficType"] = "REJECT"
    assert _unwatched(template) == {"Vpc"}


def test_the_log_is_kept_in_the_storage_stack_encrypted_by_the_accounts_key(example: Any) -> None:
    name = example.templates["SiteNetwork-hospital-a"]["Resources"]["FlowLog"]["Properties"]["LogGroupName"]
    group = example.templates["SiteStorage-hospital-a"]["Resources"]["FlowLogGroup"]["Properties"]
    assert group["LogGroupName"] == name == "/federate/eicu/hospital-a/network"
    assert group["KmsKeyId"] == {"Fn::GetAtt": ["Key", "Arn"]}


def test_the_role_serves_this_accounts_flow_logs_alone_and_writes_this_log_alone(example: Any) -> None:
    role = example.templates["SiteNetwork-hospital-a"]["Resources"]["FlowLogRole"]["Properties"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "vpc-flow-logs.amazonaws.com"}
    account = trust["Condition"]["StringEquals"]["aws:SourceAccount"]
    assert trust["Condition"]["ArnLike"] == {"aws:SourceArn": f"arn:aws:ec2:us-east-1:{account}:vpc-flow-log/*"}
    (policy,) = role["Policies"]
    resources = [arn for statement in policy["PolicyDocument"]["Statement"] for arn in statement["Resource"]]
    own = f"arn:aws:logs:us-east-1:{account}:log-group:/federate/eicu/hospital-a/network:"
    assert all(arn.startswith(own) for arn in resources), resources
