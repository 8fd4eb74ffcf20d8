"""Stacks, roles and buckets that are there already."""

from __future__ import annotations

from typing import Any

import pytest
from small_visit import stack
from stubbed_aws import StubbedAccounts

from infra.errors import Severity
from infra.preflight import standing
from infra.preflight.check import STANDING

PLANNED = (stack("SiteStorage-hospital-a"), stack("SiteNode-hospital-a"))
MADE = {"CreationTime": "2026-11-26T00:00:00Z"}


def has(aws: StubbedAccounts, **statuses: str) -> None:
    told = [
        {"StackName": f"fed-{name.replace('_', '-')}", "StackStatus": status, **MADE}
        for name, status in statuses.items()
    ]
    aws.answers("cloudformation.list_stacks", {"StackSummaries": told})


@pytest.mark.parametrize(
    ("status", "severities"),
    [
        ("CREATE_COMPLETE", []),
        ("UPDATE_ROLLBACK_FAILED", [Severity.ERROR]),
        ("UPDATE_IN_PROGRESS", [Severity.WARNING]),
        ("ROLLBACK_COMPLETE", [Severity.NOTICE]),
    ],
)
def test_a_stack_is_told_by_what_it_means_for_a_deployment(
    aws: StubbedAccounts, visit: Any, status: str, severities: list[Severity]
) -> None:
    has(aws, SiteNode_hospital_a=status, SomebodyElses="UPDATE_ROLLBACK_FAILED")
    assert [problem.severity for problem in standing.stuck(visit(stacks=PLANNED))] == severities


def test_a_stack_that_is_stuck_is_told_with_the_command_that_frees_it(aws: StubbedAccounts, visit: Any) -> None:
    has(aws, SiteNode_hospital_a="UPDATE_ROLLBACK_FAILED")
    (problem,) = standing.stuck(visit(stacks=PLANNED))
    assert "continue-update-rollback --stack-name fed-SiteNode-hospital-a" in problem.remedy


def test_all_stacks_are_asked_for_but_those_that_were_deleted(aws: StubbedAccounts, visit: Any) -> None:
    place = visit()
    statuses = set(place.client("cloudformation").meta.service_model.shape_for("StackStatus").enum)
    asked = {"StackStatusFilter": list(STANDING)}
    aws.answers("cloudformation.list_stacks", {"StackSummaries": []}, asked)
    assert place.stacks_there() == []
    assert set(STANDING) == statuses - {"DELETE_COMPLETE"}


@pytest.mark.parametrize(("limit", "errors"), [(3, 0), (2, 1)])
def test_the_stacks_quota_counts_those_that_are_there(
    aws: StubbedAccounts, visit: Any, limit: int, errors: int
) -> None:
    has(aws, SiteStorage_hospital_a="CREATE_COMPLETE", Other="CREATE_COMPLETE")
    aws.answers("cloudformation.describe_account_limits", {"AccountLimits": [{"Name": "StackLimit", "Value": limit}]})
    found = standing.stack_quota(visit(stacks=PLANNED))
    assert [problem.severity for problem in found] == [Severity.ERROR] * errors


@pytest.mark.parametrize(("name", "warnings"), [("CDKToolkit", 0), ("Other", 1)])
def test_the_bootstrap_stack_is_there_where_it_is_needed(
    aws: StubbedAccounts, visit: Any, name: str, warnings: int
) -> None:
    told = [{"StackName": name, "StackStatus": "CREATE_COMPLETE", **MADE}]
    aws.answers("cloudformation.list_stacks", {"StackSummaries": told})
    found = standing.bootstrap(visit(synthesizer="default"))
    assert [problem.severity for problem in found] == [Severity.WARNING] * warnings


ROLE = {
    "Path": "/aws-service-role/x/",
    "RoleName": "AWSServiceRoleForX",
    "RoleId": "AROAIOSFODNN7EXAMPLE",
    "Arn": "arn:aws:iam::111111111111:role/aws-service-role/x/AWSServiceRoleForX",
    "CreateDate": "2026-11-26T00:00:00Z",
}


def test_service_linked_roles_that_are_there_are_in_order(aws: StubbedAccounts, visit: Any) -> None:
    for service in ("ec2-instance-connect.amazonaws.com", "spot.amazonaws.com"):
        aws.answers("iam.list_roles", {"Roles": [ROLE]}, {"PathPrefix": f"/aws-service-role/{service}/"})
    assert list(standing.service_roles(visit(site={"spot": True}))) == []


def test_a_service_linked_role_that_is_missing_is_told_with_the_permission_for_it(
    aws: StubbedAccounts, visit: Any
) -> None:
    aws.answers("iam.list_roles", {"Roles": []})
    (problem,) = standing.service_roles(visit())
    assert problem.severity is Severity.NOTICE
    assert "iam:CreateServiceLinkedRole" in problem.allowed


def bucket(visit: Any) -> list[Any]:
    return list(standing.buckets(visit(site={"bucket": "their-data"})))


def test_a_bucket_of_the_account_in_its_region_is_in_order(aws: StubbedAccounts, visit: Any) -> None:
    expected = {"Bucket": "their-data", "ExpectedBucketOwner": "111111111111"}
    aws.answers("s3.head_bucket", {"BucketRegion": "us-east-1"}, expected)
    assert bucket(visit) == []


def test_a_bucket_of_another_region_is_an_error(aws: StubbedAccounts, visit: Any) -> None:
    aws.answers("s3.head_bucket", {"BucketRegion": "eu-west-1"})
    (problem,) = bucket(visit)
    assert problem.found == "the bucket their-data is in eu-west-1."


def test_a_bucket_that_is_not_there_is_an_error(aws: StubbedAccounts, visit: Any) -> None:
    aws.refuses("s3.head_bucket", "404")
    (problem,) = bucket(visit)
    assert problem.found == "there is no bucket their-data."


def test_a_bucket_of_another_account_is_an_error(aws: StubbedAccounts, visit: Any) -> None:
    aws.refuses("s3.head_bucket", "403")
    aws.answers("s3.head_bucket", {})
    (problem,) = bucket(visit)
    assert problem.found == "the bucket their-data belongs to another account."
