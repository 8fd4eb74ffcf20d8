"""boto3, under the real names and over TLS, reaches its own account's services through the VPC's endpoints."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError, EndpointConnectionError

from infra.local.aws.accounts import static_key
from infra.local.twin.services.endpoints.keys import owner_of

OURS, THEIRS = "611111111111", "622222222222"
MEBIBYTE = 1024 * 1024


@pytest.fixture
def bucket(direct: Callable[..., Any]) -> str:
    name = f"ours-{os.urandom(6).hex()}"
    direct("s3", OURS).create_bucket(Bucket=name)
    return name


def test_a_parameter_is_put_and_read_back(vpc: Any) -> None:
    ssm = vpc.client("ssm")
    ssm.put_parameter(Name="/federate/x", Value="ü" * 1000, Type="SecureString", Overwrite=True)
    assert ssm.get_parameter(Name="/federate/x", WithDecryption=True)["Parameter"]["Value"] == "ü" * 1000
    assert "/federate/x" in [p["Name"] for p in ssm.describe_parameters()["Parameters"]]


def test_an_error_of_the_service_comes_through(vpc: Any) -> None:
    with pytest.raises(ClientError, match="ParameterNotFound"):
        vpc.client("ssm").get_parameter(Name="/nowhere")


def test_events_are_logged_and_read_back(vpc: Any) -> None:
    logs = vpc.client("logs")
    group = f"/federate/{os.urandom(4).hex()}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="node")
    event = {"timestamp": int(time.time() * 1000), "message": "ready"}
    logs.put_log_events(logGroupName=group, logStreamName="node", logEvents=[event])
    found = logs.get_log_events(logGroupName=group, logStreamName="node", startFromHead=True)["events"]
    assert [event["message"] for event in found] == ["ready"]


def test_a_secret_is_kept_and_read_back(vpc: Any) -> None:
    secrets = vpc.client("secretsmanager")
    name = f"federate/{os.urandom(4).hex()}"
    secrets.create_secret(Name=name, SecretString="s")
    assert secrets.get_secret_value(SecretId=name)["SecretString"] == "s"


@pytest.mark.parametrize("style", ["virtual", "path"])
def test_objects_are_put_listed_read_and_deleted(vpc: Any, bucket: str, style: str) -> None:
    s3 = vpc.client("s3", s3={"addressing_style": style})
    names = ["plain", "a folder/with a space", "ümlaut/ß+%/ü", "_federate/health", "a//b"]
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=name.encode(), Metadata={"kind": "test"})
    assert sorted(item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]) == sorted(names)
    for name in names:
        got = s3.get_object(Bucket=bucket, Key=name)
        assert (got["Body"].read(), got["Metadata"]) == (name.encode(), {"kind": "test"})
    assert s3.head_object(Bucket=bucket, Key="plain")["ContentLength"] == 5
    assert s3.get_object(Bucket=bucket, Key="plain", Range="bytes=1-2")["Body"].read() == b"la"
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": name} for name in names]})
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_missing_object_is_missing(vpc: Any, bucket: str) -> None:
    s3 = vpc.client("s3")
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="none")
    with pytest.raises(ClientError, match="404"):
        s3.head_object(Bucket=bucket, Key="none")


def test_twenty_megabytes_go_up_in_parts_and_come_down_whole(vpc: Any, bucket: str, tmp_path: Path) -> None:
    content = os.urandom(20 * MEBIBYTE)
    up, down = tmp_path / "up", tmp_path / "down"
    up.write_bytes(content)
    s3 = vpc.client("s3")
    parts = TransferConfig(multipart_threshold=5 * MEBIBYTE, multipart_chunksize=5 * MEBIBYTE)
    s3.upload_file(str(up), bucket, "big", Config=parts)
    assert s3.head_object(Bucket=bucket, Key="big")["ETag"].endswith('-4"')
    s3.download_file(bucket, "big", str(down), Config=parts)
    assert hashlib.sha256(down.read_bytes()).digest() == hashlib.sha256(content).digest()


def test_a_body_of_unknown_framing_goes_up_in_chunks(vpc: Any, bucket: str) -> None:
    s3 = vpc.client("s3")
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * (3 * MEBIBYTE + 17))
        file.seek(0)
        s3.put_object(Bucket=bucket, Key="stream", Body=file, ChecksumAlgorithm="CRC32")
    assert s3.head_object(Bucket=bucket, Key="stream")["ContentLength"] == 3 * MEBIBYTE + 17
    assert any(b"transfer-encoding: chunked" in piece.lower() for piece in vpc.seen)


def test_a_presigned_address_is_good_for_what_it_says(vpc: Any, bucket: str) -> None:
    s3 = vpc.client("s3", signature_version="s3v4")
    s3.put_object(Bucket=bucket, Key="signed", Body=b"content")
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "signed"})
    assert requests.get(url, verify=vpc.ca, timeout=10).content == b"content"
    form = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
    assert b"GetCallerIdentity" not in requests.post(url, data=form, verify=vpc.ca, timeout=10).content


CALLS = {
    "ssm": lambda client: client.describe_parameters(),
    "logs": lambda client: client.describe_log_groups(),
    "secretsmanager": lambda client: client.list_secrets(),
    "s3": lambda client: client.list_buckets(),
}


@pytest.mark.parametrize("service", sorted(CALLS))
def test_a_key_of_another_account_is_refused(vpc: Any, service: str) -> None:
    with pytest.raises(ClientError) as refused:
        CALLS[service](vpc.client(service, THEIRS))
    error = refused.value.response
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert error["Error"]["Code"].startswith("AccessDenied")
    for named in (THEIRS, OURS, f"com.amazonaws.us-east-1.{service}"):
        assert named in error["Error"]["Message"]


@pytest.mark.parametrize("service", sorted(CALLS))
def test_negative_control_the_same_call_with_our_key_passes(vpc: Any, service: str) -> None:
    CALLS[service](vpc.client(service, OURS))


def test_the_credentials_of_our_role_pass_and_those_of_another_accounts_role_do_not(vpc: Any, direct: Any) -> None:
    trust = {
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]
    }
    for account, passes in ((OURS, True), (THEIRS, False)):
        name = f"node-{os.urandom(4).hex()}"
        role = direct("iam", account).create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        given = direct("sts", account).assume_role(RoleArn=role["Role"]["Arn"], RoleSessionName="i-0a")["Credentials"]
        ssm = vpc.client_with("ssm", given["AccessKeyId"], given["SessionToken"])
        if passes:
            ssm.describe_parameters()
        else:
            with pytest.raises(ClientError, match="AccessDenied"):
                ssm.describe_parameters()


def test_a_key_that_was_never_issued_is_refused_by_the_service_itself(vpc: Any) -> None:
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        vpc.client_with("ssm", "AKIAIOSFODNN7EXAMPLE").describe_parameters()


def test_a_service_without_an_endpoint_is_not_there(vpc: Any) -> None:
    with pytest.raises(EndpointConnectionError):
        vpc.client("sts").get_caller_identity()


def test_the_watcher_sees_what_is_sent_in_plain(vpc: Any, bucket: str) -> None:
    vpc.client("ssm").put_parameter(Name="/leak/one", Value="sentinel-a", Type="String", Overwrite=True)
    vpc.client("s3").put_object(Bucket=bucket, Key="leak", Body=b"." * 65_530 + b"sentinel-b" + b"." * 65_530)
    for word in (b"sentinel-a", b"sentinel-b", b"AmazonSSM.PutParameter"):
        assert any(word in piece for piece in vpc.seen)
    assert not any(b"sentinel-c" in piece for piece in vpc.seen)


@pytest.mark.parametrize(
    ("key", "account"), [(static_key(OURS), OURS), (static_key("699999999999"), None), ("AKIAIOSFODNN7EXAMPLE", None)]
)
def test_the_emulator_says_whose_a_key_is(upstream: tuple[str, int], key: str, account: str | None) -> None:
    owner = owner_of(upstream, key)
    assert (owner and owner.account) == account


def test_the_emulator_names_the_principal_of_a_key(upstream: tuple[str, int], direct: Any) -> None:
    iam = direct("iam", OURS)
    iam.create_user(UserName="somebody")
    key = iam.create_access_key(UserName="somebody")["AccessKey"]["AccessKeyId"]
    owner = owner_of(upstream, key)
    assert owner is not None
    assert (owner.account, owner.arn) == (OURS, f"arn:aws:iam::{OURS}:user/somebody")
    administrator = owner_of(upstream, static_key(OURS))
    assert administrator is not None
    assert administrator.arn is None
