"""Credentials, Region and clock."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest
from botocore.exceptions import ProfileNotFound, SSOTokenLoadError
from small_visit import federation
from stubbed_aws import FailingAccounts, StubbedAccounts

from infra.errors import Severity
from infra.federation.derive import nodes
from infra.preflight.check import Visit
from infra.preflight.identity import clock, credentials, region

CALLER = {"Account": "111111111111", "Arn": "arn:aws:iam::111111111111:user/admin", "UserId": "A"}


def at(seconds_ahead: float) -> dict[str, Any]:
    """Return the caller as AWS tells it while the clock here is so many seconds ahead of AWS's."""
    return {**CALLER, "ResponseMetadata": {"HTTPHeaders": {"date": formatdate(time.time() - seconds_ahead)}}}


def test_credentials_of_the_account_are_in_order(aws: StubbedAccounts, visit: Any) -> None:
    aws.answers("sts.get_caller_identity", CALLER)
    assert list(credentials(visit())) == []


def test_credentials_of_another_account_are_an_error_that_names_both(aws: StubbedAccounts, visit: Any) -> None:
    aws.answers("sts.get_caller_identity", {**CALLER, "Account": "999999999999"})
    (problem,) = credentials(visit())
    assert "999999999999" in problem.found
    assert "111111111111" in problem.allowed


def test_expired_credentials_are_named_as_such_with_the_command_that_renews_them(
    aws: StubbedAccounts, visit: Any
) -> None:
    aws.refuses("sts.get_caller_identity", "ExpiredToken", "The security token is expired")
    (problem,) = credentials(visit())
    assert problem.found.startswith("its credentials have expired")
    assert "aws sso login --profile hospital-a" in problem.remedy


def test_a_key_that_only_the_main_region_knows_is_the_accounts_own(aws: StubbedAccounts, visit: Any) -> None:
    aws.refuses("sts.get_caller_identity", "InvalidClientTokenId", "The security token is invalid")
    aws.answers("sts.get_caller_identity", CALLER)
    assert list(credentials(visit(site={"region": "eu-south-1"}))) == []


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (ProfileNotFound(profile="hospital-a"), "aws configure"),
        (SSOTokenLoadError(error_msg="no cached token"), "aws sso login --profile hospital-a"),
    ],
)
def test_credentials_that_are_missing_are_an_error_with_the_command_that_makes_them(
    error: Exception, remedy: str
) -> None:
    fed = federation()
    (problem,) = credentials(Visit(fed, (nodes(fed)[1],), FailingAccounts(lambda _: error)))
    assert problem.severity is Severity.ERROR
    assert remedy in problem.remedy


def test_a_refusal_for_the_clock_is_named_as_the_clocks(aws: StubbedAccounts, visit: Any) -> None:
    date = formatdate(time.time() - 900)
    aws.refuses("sts.get_caller_identity", "SignatureDoesNotMatch", "Signature expired", HTTPHeaders={"date": date})
    (problem,) = credentials(visit())
    assert "ahead of AWS's" in problem.found
    assert problem.severity is Severity.ERROR


@pytest.mark.parametrize(
    ("seconds", "severity"),
    [(0, None), (-40, None), (90, Severity.WARNING), (-90, Severity.WARNING), (400, Severity.ERROR)],
)
def test_a_clock_may_be_a_minute_off_and_must_not_be_five(
    aws: StubbedAccounts, visit: Any, seconds: float, severity: Severity | None
) -> None:
    aws.answers("sts.get_caller_identity", at(seconds))
    assert [problem.severity for problem in clock(visit())] == ([severity] if severity else [])


def test_an_answer_without_a_time_is_a_clock_that_was_not_checked(aws: StubbedAccounts, visit: Any) -> None:
    aws.answers("sts.get_caller_identity", CALLER)
    (problem,) = clock(visit())
    assert problem.severity is Severity.WARNING
    assert "not checked" in problem.found


ASKED = {"RegionNames": ["us-east-1"], "AllRegions": True}


@pytest.mark.parametrize("status", ["opt-in-not-required", "opted-in"])
def test_a_region_that_is_enabled_is_in_order(aws: StubbedAccounts, visit: Any, status: str) -> None:
    aws.answers("ec2.describe_regions", {"Regions": [{"RegionName": "us-east-1", "OptInStatus": status}]}, ASKED)
    assert list(region(visit())) == []


def test_a_region_that_is_not_enabled_is_an_error_with_the_command_for_it(aws: StubbedAccounts, visit: Any) -> None:
    aws.answers("ec2.describe_regions", {"Regions": [{"OptInStatus": "not-opted-in"}]}, ASKED)
    (problem,) = region(visit())
    assert "enable-region --region-name us-east-1" in problem.remedy


def test_a_region_that_aws_does_not_know_is_an_error(aws: StubbedAccounts, visit: Any) -> None:
    aws.refuses("ec2.describe_regions", "InvalidParameterValue", "Invalid region")
    (problem,) = region(visit())
    assert "knows no Region us-east-1" in problem.found
