"""The access key decides the account; a key that was never issued opens nothing."""

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from infra.local.aws.clients import InProcessClients
from infra.local.aws.server import LoopbackAws

CALLS = {
    "ec2": ("describe_vpcs", {}, "AuthFailure"),
    "s3": ("list_buckets", {}, "InvalidAccessKeyId"),
    "ssm": ("describe_parameters", {}, "UnrecognizedClientException"),
    "logs": ("describe_log_groups", {}, "UnrecognizedClientException"),
    "secretsmanager": ("list_secrets", {}, "UnrecognizedClientException"),
    "iam": ("list_roles", {}, "InvalidClientTokenId"),
    "sts": ("get_caller_identity", {}, "InvalidClientTokenId"),
    "cloudformation": ("list_stacks", {}, "InvalidClientTokenId"),
}


class WithKey(InProcessClients):
    """Clients that sign with a given key."""

    def with_key(self, service: str, key: str, token: str | None = None) -> Any:
        client = boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url="http://127.0.0.1",
            aws_access_key_id=key,
            aws_secret_access_key="any",
            aws_session_token=token,
        )
        client.meta.events.register("before-send", self._send)
        return client


@pytest.fixture
def keys(emulator: Any) -> WithKey:
    return WithKey(emulator)


@pytest.mark.parametrize("service", sorted(CALLS))
@pytest.mark.parametrize("key", ["AKIAEMUL999999999999", "AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"])
def test_an_unknown_key_is_refused_in_the_services_own_words(keys: WithKey, service: str, key: str) -> None:
    method, arguments, code = CALLS[service]
    with pytest.raises(ClientError) as refused:
        getattr(keys.with_key(service, key), method)(**arguments)
    assert refused.value.response["Error"]["Code"] == code


def test_a_known_key_is_its_account(keys: WithKey, account: Any) -> None:
    identity = keys.with_key("sts", f"AKIAEMUL{account.id}").get_caller_identity()
    assert identity["Account"] == account.id


def test_a_second_emulator_in_the_process_takes_no_account_from_the_first(account: Any) -> None:
    LoopbackAws(["499999999999"])
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": account.id}, "Action": "sts:AssumeRole"}]}
    iam = account.client("iam")
    iam.create_role(RoleName="made-after", AssumeRolePolicyDocument=json.dumps(trust))
    assert iam.get_role(RoleName="made-after")["Role"]["Arn"] == f"arn:aws:iam::{account.id}:role/made-after"


def _role(account: Any, name: str, principal: dict[str, str]) -> str:
    trust = {"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]}
    made = account.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    return made["Role"]["Arn"]


def test_temporary_credentials_carry_the_account_of_the_role(keys: WithKey, account: Any, new_account: Any) -> None:
    other = new_account()
    arn = _role(other, "guest", {"AWS": f"arn:aws:iam::{account.id}:root"})
    got = account.client("sts").assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
    identity = keys.with_key("sts", got["AccessKeyId"], got["SessionToken"]).get_caller_identity()
    assert identity["Account"] == other.id
    assert "assumed-role/guest/session" in identity["Arn"]


def test_a_nodes_role_is_taken_by_its_own_account(account: Any) -> None:
    arn = _role(account, "node", {"Service": "ec2.amazonaws.com"})
    assert account.client("sts").assume_role(RoleArn=arn, RoleSessionName="node")["Credentials"]["AccessKeyId"]


def test_a_role_is_not_taken_by_an_account_that_it_does_not_trust(account: Any, new_account: Any) -> None:
    arn = _role(account, "node", {"Service": "ec2.amazonaws.com"})
    with pytest.raises(ClientError, match="is not authorized to perform: sts:AssumeRole"):
        new_account().client("sts").assume_role(RoleArn=arn, RoleSessionName="session")


def test_a_role_that_does_not_exist_is_not_taken(account: Any) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        account.client("sts").assume_role(RoleArn=f"arn:aws:iam::{account.id}:role/nobody", RoleSessionName="session")


def test_accounts_do_not_see_each_others_resources(account: Any, new_account: Any) -> None:
    other = new_account()
    account.client("ssm").put_parameter(Name="/mine", Value="x", Type="String")
    with pytest.raises(ClientError, match="ParameterNotFound"):
        other.client("ssm").get_parameter(Name="/mine")


def test_a_bucket_is_closed_to_other_accounts(account: Any, new_account: Any) -> None:
    name = f"data-of-{account.id}"
    account.client("s3").create_bucket(Bucket=name)
    account.client("s3").put_object(Bucket=name, Key="row", Body=b"x")
    with pytest.raises(ClientError, match="AccessDenied"):
        new_account().client("s3").get_object(Bucket=name, Key="row")
    assert account.client("s3").get_object(Bucket=name, Key="row")["Body"].read() == b"x"
