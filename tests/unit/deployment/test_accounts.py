"""Every profile must lead to the account that the federation says, and all that do not are told at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_cloud import FakeCloud, federation

from infra.accounts import AwsAccounts, WrongCredentials, check_credentials
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
