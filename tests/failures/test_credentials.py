"""Credentials, and what is here or is not: told before anything is touched, with the profile and the next step."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest
from failure_desk import ACCOUNTS, FEDERATION, FailureDesk, key
from failure_table import Tell

RIGHT = {name: key(account) for name, account in ACCOUNTS.items()}
UNTOUCHED = "nothing was touched"
WENT_ON = "goes on, exit 0"


@pytest.fixture
def site(desk: FailureDesk) -> Iterator[FailureDesk]:
    """Return the desk; afterwards profiles are right again, and no account has a stack."""
    yield desk
    desk.write_profiles(RIGHT)
    assert all(desk.statuses(node) == {} for node in ACCOUNTS)


def sts(code: str, message: str) -> dict[str, str]:
    """Return a rule for the first thing that each command asks of an account."""
    return {
        "service": "sts",
        "operation": "GetCallerIdentity",
        "account": ACCOUNTS["hospital-a"],
        "code": code,
        "message": message,
    }


def says_all(error: str, *words: str) -> bool:
    return [word for word in words if word not in error] == []


@pytest.mark.failure("wrong-account")
def test_a_profile_of_another_account_is_told_with_both_accounts(site: FailureDesk, tell: Tell) -> None:
    site.write_profiles({**RIGHT, "hospital-a": key(ACCOUNTS["aggregator"])})
    said = site.run("deploy", "--stacks-only")
    assert said.code == 3
    assert says_all(
        said.error,
        "profile hospital-a (hospital-a): its credentials are of account 333333333333",
        "It must have credentials for account 111111111111.",
        "Correct the profile, or the account in the federation's file.",
    )
    tell(
        injected="a profile leads to another account than the file says",
        where="`sts:GetCallerIdentity`",
        message=said.error,
        code=said.code,
        after=UNTOUCHED,
    )


@pytest.mark.parametrize(
    ("code", "message", "words", "injected"),
    [
        pytest.param(
            "ExpiredToken",
            "The security token included in the request is expired",
            ("Cause: The credentials of the profile were for a time", "aws sso login --profile hospital-a"),
            "the credentials of a profile have expired",
            marks=pytest.mark.failure("expired"),
            id="expired",
        ),
        pytest.param(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details.",
            (
                "Cause: The secret key of the profile does not belong",
                "aws configure --profile hospital-a",
            ),
            "the secret key of a profile is mistyped",
            marks=pytest.mark.failure("key-wrong"),
            id="key-wrong",
        ),
        pytest.param(
            "SignatureDoesNotMatch",
            "Signature expired: 20260101T000000Z is now earlier than 20260101T003500Z (20260101T004000Z - 5 min.)",
            ("Cause: The clock of this machine is wrong", "timedatectl set-ntp true"),
            "the operator's clock is 40 minutes slow",
            marks=pytest.mark.failure("clock"),
            id="clock",
        ),
    ],
)
def test_credentials_that_aws_refuses_are_told_with_the_profile_and_how_to_renew_them(
    site: FailureDesk, tell: Tell, code: str, message: str, words: tuple[str, ...], injected: str
) -> None:
    with site.failing(sts(code, message)):
        said = site.run("deploy", "--stacks-only")
    assert said.code == 3
    assert says_all(said.error, "profile hospital-a (hospital-a)", f"{code}: {message}", *words)
    assert "aggregator" not in said.error
    tell(injected=injected, where="`sts:GetCallerIdentity`", message=said.error, code=said.code, after=UNTOUCHED)


@pytest.mark.failure("key-unknown")
def test_a_key_that_aws_does_not_know_is_told(site: FailureDesk, tell: Tell) -> None:
    site.write_profiles({**RIGHT, "hospital-a": "AKIANEVERISSUED00001"})
    said = site.run("deploy", "--stacks-only")
    assert said.code == 3
    assert says_all(
        said.error, "InvalidClientTokenId", "Cause: AWS does not know the access key", "aws configure --profile"
    )
    tell(
        injected="a profile has an access key that was never issued",
        where="`sts:GetCallerIdentity`",
        message=said.error,
        code=said.code,
        after=UNTOUCHED,
    )


@pytest.mark.failure("no-profile")
def test_a_profile_that_does_not_exist_is_told(site: FailureDesk, tell: Tell) -> None:
    site.write_profiles({"aggregator": RIGHT["aggregator"]})
    said = site.run("deploy", "--stacks-only")
    assert said.code == 3
    assert says_all(
        said.error, "Cause: There is no profile hospital-a in ~/.aws/config", "aws configure --profile hospital-a"
    )
    tell(
        injected="a profile that the file names does not exist",
        where="`~/.aws/config`",
        message=said.error,
        code=said.code,
        after=UNTOUCHED,
    )


@pytest.mark.failure("no-credentials")
def test_a_profile_without_credentials_is_told(site: FailureDesk, tell: Tell) -> None:
    site.write_profiles({**RIGHT, "hospital-a": None})
    said = site.run("deploy", "--stacks-only")
    assert said.code == 3
    assert says_all(said.error, "Cause: The profile exists", "aws sso login --profile hospital-a")
    tell(
        injected="a profile has no credentials",
        where="`~/.aws/credentials`",
        message=said.error,
        code=said.code,
        after=UNTOUCHED,
    )


@pytest.mark.failure("unreachable")
def test_an_aws_that_nobody_reaches_is_told_as_such_and_not_as_a_matter_of_the_profile(
    site: FailureDesk, tell: Tell
) -> None:
    said = site.run("deploy", "--stacks-only", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert said.code == 4
    assert says_all(said.error, "AWS does not answer", "Cause: nothing was reached", "Is this machine online?")
    assert "aws configure" not in said.error
    tell(
        injected="no network: nothing of AWS is reached",
        where="any call",
        message=said.error,
        code=said.code,
        after=UNTOUCHED,
    )


@pytest.mark.failure("cdk-missing")
def test_a_cdk_command_that_is_missing_is_told(site: FailureDesk, tell: Tell) -> None:
    said = site.run("deploy", "--stacks-only", real_cdk=True, FEDERATE_CDK="/nowhere/cdk")
    assert said.code == 4
    assert says_all(said.error, "FEDERATE_CDK names /nowhere/cdk, which does not exist.", "make setup installs")
    tell(
        injected="the CDK command is not installed where it is said to be",
        where="`FEDERATE_CDK`",
        message=said.error,
        code=said.code,
        after=UNTOUCHED,
    )


@pytest.mark.failure("cdk-version")
def test_a_cdk_command_of_another_version_is_told(site: FailureDesk, tell: Tell, tmp_path: Path) -> None:
    command = tmp_path / "cdk"
    words = (
        "This CDK CLI is not compatible with the CDK library used by your application. Please upgrade the CLI to the "
        "latest "
        "version.\\n(Cloud assembly schema version mismatch: Maximum schema version supported is 36.x.x, but found "
        "53.0.0)"
    )
    command.write_text(f"#!/bin/sh\nprintf '{words}\\n'\nexit 1\n")
    command.chmod(0o755)
    said = site.run("deploy", "--stacks-only", real_cdk=True, FEDERATE_CDK=str(command))
    assert said.code == 1
    assert says_all(
        said.error,
        "Maximum schema version supported is 36.x.x",
        "Cause: The CDK command is of another version than the CDK library",
        "make setup installs the one that fits",
        "fed-HubNetwork in account 333333333333: not made yet",
    )
    tell(
        injected="the CDK command is of another version than the library",
        where="`cdk deploy`",
        message=said.error,
        code=said.code,
        after=UNTOUCHED,
    )


@pytest.mark.failure("busy")
def test_two_commands_at_once_are_not_let(site: FailureDesk, tell: Tell) -> None:
    (site.folder / "home").mkdir(exist_ok=True)
    with (site.folder / "home" / "fed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("deploy, process 4711")
        lock.flush()
        said = site.run("deploy", "--stacks-only")
    assert said.code == 4
    assert says_all(said.error, "Another command is changing fed (deploy, process 4711).", "Wait for it")
    tell(
        injected="another command is changing the federation",
        where="lock in the local state",
        message=said.error,
        code=said.code,
        after=UNTOUCHED,
    )


@pytest.mark.failure("cidr-overlap")
def test_ranges_that_overlap_are_told_before_anybody_is_asked(site: FailureDesk, tell: Tell) -> None:
    site.file.write_text(FEDERATION.replace("10.10.0.0/16", "10.30.128.0/17"))
    said = site.run("deploy", "--stacks-only")
    site.file.write_text(FEDERATION)
    assert said.code == 2
    assert says_all(said.error, "participants[0].cidr", "10.30.128.0/17 overlaps")
    tell(
        injected="a site's address range overlaps the hub's",
        where="`federation.yaml`",
        message=said.error,
        code=said.code,
        after=UNTOUCHED,
    )
