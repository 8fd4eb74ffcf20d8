"""Who is asked, where and when: credentials, Region and clock. Without the first, nothing else can be asked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection

from infra.errors import Problem, Severity
from infra.federation import catalog
from infra.preflight.check import Check, Visit, code_of

#: AWS refuses a signature that is older than five minutes. Source: "Signature Version 4", AWS IAM User Guide.
REFUSED_SECONDS = 300.0
LATE_SECONDS = 60.0
#: A Region of each partition that no account can switch off.
_MAIN = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1", "aws-eusc": "eusc-de-east-1"}
#: How a problem begins where nothing was reached at all.
SILENCE = "AWS does not answer"
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
_UNKNOWN_KEY = ("InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure")


def credentials(visit: Visit) -> Iterator[Problem]:
    """Find credentials that are missing, expired, or another account's."""
    expected = f"It must have credentials for account {visit.account}."
    where = f"profile {visit.profile} ({visit.name})"
    try:
        caller = visit.once("caller", lambda: _caller(visit))
    except (HTTPClientError, NoConnection) as error:
        yield Problem(where, f"{SILENCE}: {error}", "", "Is this machine online? The same command asks again.")
        return
    except ClientError as error:
        yield _refused(visit, where, expected, error)
        return
    except BotoCoreError as error:
        remedy = f"Set it up: aws configure sso --profile {visit.profile}, or aws configure --profile {visit.profile}."
        if "sso" in str(error).lower() or "token" in str(error).lower():
            remedy = f"Sign in again: aws sso login --profile {visit.profile}."
        yield Problem(where, f"{error}", expected, remedy)
        return
    if caller["Account"] != visit.account:
        found = f"its credentials are of account {caller['Account']} ({caller['Arn']})."
        yield Problem(where, found, expected, "Correct the profile, or the account in the federation's file.")


def _refused(visit: Visit, where: str, expected: str, error: ClientError) -> Problem:
    skew = skew_of(error.response.get("ResponseMetadata", {}))
    if skew is not None and abs(skew) > REFUSED_SECONDS:
        return _skewed(visit, skew)
    told = error.response.get("Error", {})
    found = f"AWS refuses its credentials: {told.get('Code')}: {told.get('Message')}"
    if code_of(error) in _EXPIRED:
        found = f"its credentials have expired: {told.get('Message')}"
    return Problem(where, found, expected, f"Renew them: aws sso login --profile {visit.profile}, or aws configure.")


def _caller(visit: Visit) -> Mapping[str, Any]:
    """Ask who the profile is: in the Region, or in the partition's main one where the account has not enabled it."""
    try:
        answer: Mapping[str, Any] = visit.client("sts").get_caller_identity()
    except ClientError as error:
        main = _main_region(visit)
        if code_of(error) not in _UNKNOWN_KEY or main == visit.region:
            raise
        answer = visit.client("sts", main).get_caller_identity()
    visit.once("skew", lambda: skew_of(answer.get("ResponseMetadata", {})))
    return answer


def _main_region(visit: Visit) -> str:
    return _MAIN.get(catalog.partition(visit.region), visit.region)


def region(visit: Visit) -> Iterator[Problem]:
    """Find a Region that the account has not enabled."""
    main = _main_region(visit)
    try:
        found = visit.client("ec2", main).describe_regions(RegionNames=[visit.region], AllRegions=True)["Regions"]
    except ClientError as error:
        if code_of(error) != "InvalidParameterValue":
            raise
        found = []
    if not found:
        yield visit.problem(f"AWS knows no Region {visit.region}.", "", "Correct it in the federation's file.")
    elif found[0].get("OptInStatus") == "not-opted-in":
        yield visit.problem(
            f"the account has not enabled the Region {visit.region}.",
            "",
            f"aws account enable-region --region-name {visit.region} --profile {visit.profile}; it takes minutes.",
        )


def clock(visit: Visit) -> Iterator[Problem]:
    """Find a clock here that is not AWS's: signatures carry the time, and certificates begin and end by it."""
    visit.once("caller", lambda: _caller(visit))
    skew = visit.once("skew", lambda: None)
    if skew is None:
        yield visit.problem(
            "not checked: whether this machine's clock is right. The answer carried no time.",
            "",
            "Look yourself: date -u.",
            Severity.WARNING,
        )
    elif abs(skew) > LATE_SECONDS:
        yield _skewed(visit, skew)


def _skewed(visit: Visit, skew: float) -> Problem:
    direction = "ahead of" if skew > 0 else "behind"
    return Problem(
        f"this machine (seen from account {visit.account})",
        f"its clock is {abs(skew):.0f} s {direction} AWS's.",
        f"AWS refuses requests from {REFUSED_SECONDS:.0f} s on, and certificates made here begin and end wrongly.",
        "Synchronise it: timedatectl set-ntp true.",
        Severity.ERROR if abs(skew) > REFUSED_SECONDS else Severity.WARNING,
    )


def skew_of(metadata: Mapping[str, Any]) -> float | None:
    """Return by how many seconds the clock here is ahead of an answer's ``Date``; None where it has none."""
    date = metadata.get("HTTPHeaders", {}).get("date")
    if not date:
        return None
    try:
        return time.time() - parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return None


CREDENTIALS = Check(
    "credentials",
    "Has the profile valid credentials, and of the account that the federation names?",
    ("sts:GetCallerIdentity",),
    credentials,
)
CHECKS = (
    Check("region", "Has the account enabled the Region?", ("ec2:DescribeRegions",), region),
    Check("clock", "Is this machine's clock that of AWS?", ("sts:GetCallerIdentity",), clock),
)
