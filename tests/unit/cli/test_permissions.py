"""``federate permissions`` prints policies as JSON that can be used as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.cli.main import main

EXAMPLE = Path(__file__).parents[3] / "federation.yaml"
KEY = "arn:aws:kms:us-east-1:111111111111:key/01234567-89ab-cdef-0123-456789abcdef"
BUCKET = "arn:aws:s3:::hospital-a-research"
Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command where hospital-a has these things of its own."""

    def command(*words: str, **own: str) -> int:
        data = yaml.safe_load(EXAMPLE.read_text("utf-8"))
        data["participants"][0] |= own
        file = tmp_path / "federation.yaml"
        file.write_text(yaml.safe_dump(data))
        return main(["-f", str(file), "permissions", *words])

    return command


def statements(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document = json.loads(capsys.readouterr().out)
    assert document["Version"] == "2012-10-17"
    return {one["Sid"]: one for one in document["Statement"]}


def test_the_statements_for_an_existing_bucket_are_those_of_its_prefix_and_key(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {"bucket": "hospital-a-research", "bucket_prefix": "federate/", "kms_key": KEY}
    assert run("hospital-a", "--for", "bucket", **own) == 0
    found = statements(capsys)
    assert found["DataIsReadByTheNodeAlone"]["Resource"] == [f"{BUCKET}/federate/data/*"]
    assert found["OtherKey"]["Resource"] == [f"{BUCKET}/federate/*"]
    assert found["OtherKey"]["Condition"]["StringNotEquals"] == {"s3:x-amz-server-side-encryption-aws-kms-key-id": KEY}
    assert found["TlsOnly"]["Resource"] == [BUCKET, f"{BUCKET}/federate/*"]
    assert {one["Effect"] for one in found.values()} == {"Deny"}


def test_without_a_key_nothing_is_said_of_the_buckets_encryption_and_that_is_told(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("hospital-a", "--for", "bucket", bucket="hospital-a-research") == 0
    told = capsys.readouterr()
    sids = {one["Sid"] for one in json.loads(told.out)["Statement"]}
    assert sids == {"TlsOnly", "Tls12OrNewer", "OtherAccounts", "DataIsReadByTheNodeAlone", "CallersKey"}
    assert "nothing is said about its encryption" in told.err
    assert "aws s3api get-bucket-policy --bucket hospital-a-research --profile hospital-a" in told.err


def test_the_statements_for_an_existing_key_leave_its_administration_to_its_owner(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("hospital-a", "--for", "key", kms_key=KEY) == 0
    found = statements(capsys)
    assert "AdministeredByTheAccount" not in found
    assert found["LogsOfThisNode"]["Principal"] == {"Service": "logs.us-east-1.amazonaws.com"}
    assert found["AlarmsOfThisNode"]["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    topic = "arn:aws:sns:us-east-1:111111111111:ours"
    assert run("hospital-a", "--for", "key", kms_key=KEY, alarm_topic=topic) == 0
    assert "AlarmsOfThisNode" not in statements(capsys)


@pytest.mark.parametrize(("kind", "entry"), [("bucket", "bucket"), ("key", "kms_key")])
def test_what_federate_makes_needs_nothing_of_its_owner(
    run: Run, capsys: pytest.CaptureFixture[str], kind: str, entry: str
) -> None:
    assert run("hospital-a", "--for", kind) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert f"hospital-a names no {kind} of its own" in told.err
    assert f"write {entry} into its block" in told.err


def test_a_node_is_named_by_place_or_by_option(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("hospital-a", "--role", "steward") == 0
    by_place = statements(capsys)
    assert run("--node", "hospital-a", "--role", "steward") == 0
    assert statements(capsys) == by_place
    assert run("--role", "steward") == 0
    assert statements(capsys) != by_place


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hospital-x"], "One of: aggregator, hospital-a, hospital-b"),
        (["hospital-a", "--node", "hospital-b"], "are two nodes"),
        (["--role", "root"], "One of: deployer, operator, steward, shell"),
        (["hospital-a", "--role", "steward", "--for", "bucket"], "Ask for one of them"),
        (["hospital-a", "--for", "volume"], "volume"),
    ],
)
def test_what_cannot_be_asked_for_is_bad_input(
    run: Run, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert run(*words) == 2
    assert said in capsys.readouterr().err


def test_who_deploys_may_look_how_an_existing_bucket_and_key_are_kept_and_change_nothing_there(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("hospital-a", "--role", "deployer", bucket="hospital-a-research", kms_key=KEY) == 0
    found = statements(capsys)
    assert found["LookAtTheOwnBucket"]["Resource"] == [BUCKET]
    assert {action.partition(":")[2][:3] for action in found["LookAtTheOwnBucket"]["Action"]} == {"Get"}
    assert found["LookAtTheOwnKey"] | {"Sid": ""} == {
        "Sid": "",
        "Effect": "Allow",
        "Action": ["kms:GetKeyPolicy"],
        "Resource": [KEY],
    }
    assert run("hospital-a", "--role", "deployer") == 0
    assert not {"LookAtTheOwnBucket", "LookAtTheOwnKey"} & statements(capsys).keys()
