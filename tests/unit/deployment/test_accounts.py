"""Every profile must lead to the account that the federation says, and all that do not are told at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError, EndpointConnectionError
from fake_cloud import FakeCloud, federation

from infra.accounts import AwsAccounts, AwsRefused, NoAnswer, WrongCredentials, check_credentials, explain, explained
from infra.federation.derive import nodes


def test_profiles_of_the_right_accounts_pass() -> None:
    check_credentials(FakeCloud(), nodes(federation()))


def test_every_profile_that_is_wrong_is_told_with_what_was_found_and_expected() -> None:
    cloud = FakeCloud()
    cloud.identities |= {"hospital-a": "222222222222", "hospital-b": "ExpiredToken"}
    with pytest.raises(WrongCredentials) as failure:
        check_credentials(cloud, nodes(federation()))
    said = str(failure.value)
    assert "profile hospital-a (hospital-a): its credentials are of account 222222222222" in said
    assert "must have credentials for account 111111111111" in said
    assert "profile hospital-b (hospital-b): AWS refuses its credentials: ExpiredToken: The token is expired" in said
    assert "aws sso login --profile hospital-b" in said
    assert "aggregator" not in said


def test_requests_that_boto3_has_no_call_for_are_signed_with_the_profiles_own_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text(
        "[hospital-a]\naws_access_key_id = AKIA-A\naws_secret_access_key = a\n"
        "[hospital-b]\naws_access_key_id = AKIA-B\naws_secret_access_key = b\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{tmp_path}/none")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{tmp_path}/credentials")
    accounts = AwsAccounts()
    keys = [accounts.credentials(profile=profile).access_key for profile in ("hospital-a", "hospital-b")]
    assert keys == ["AKIA-A", "AKIA-B"]


def test_a_profile_that_does_not_exist_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{tmp_path}/none")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{tmp_path}/none")
    with pytest.raises(WrongCredentials) as failure:
        check_credentials(AwsAccounts(), nodes(federation()))
    assert "profile aggregator (aggregator): The config profile (aggregator) could not be found" in str(failure.value)
    assert len(failure.value.problems) == 3


def refused(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "DescribeStacks")


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (refused("ExpiredToken", "The security token included in the request is expired"), 3),
        (
            refused(
                "AccessDenied", "User: me is not authorized to perform: cloudformation:DescribeStacks on resource: x"
            ),
            3,
        ),
        (refused("Throttling", "Rate exceeded"), 4),
        (refused("SomethingNew", "that nobody has seen"), 4),
        (EndpointConnectionError(endpoint_url="https://x"), 4),
    ],
)
def test_scripts_can_tell_a_matter_of_credentials_from_any_other(error: ClientError, exit_code: int) -> None:
    assert explain(error).exit_code == exit_code


def test_what_aws_says_is_told_whole_with_its_cause_and_the_next_step() -> None:
    lines = str(explain(refused("Throttling", "Rate exceeded"), "hospital-a, account 1")).splitlines()
    assert lines[0].startswith("AWS refuses (hospital-a, account 1): An error occurred (Throttling)")
    assert lines[1].startswith("  Cause: Too many calls in this account")
    assert lines[2] == "  Wait a minute. The same command goes on where it ended."


def test_words_that_are_not_known_are_told_without_a_cause() -> None:
    said = str(explain(refused("SomethingNew", "that nobody has seen")))
    assert "(SomethingNew)" in said
    assert "Cause:" not in said


def test_an_upload_that_aws_refuses_is_explained_as_well() -> None:
    with pytest.raises(AwsRefused, match="Cause: The KMS key"), explained("hospital-a"):
        raise S3UploadFailedError("Failed to upload x: An error occurred (KMS.DisabledException): the key is disabled.")


def test_an_aws_that_does_not_answer_is_no_matter_of_the_profile() -> None:
    class Silent(FakeCloud):
        def client(self, service: str, *, profile: str, region: str) -> object:
            raise EndpointConnectionError(endpoint_url="https://sts.us-east-1.amazonaws.com")

    with pytest.raises(NoAnswer, match="AWS does not answer"):
        check_credentials(Silent(), nodes(federation()))
