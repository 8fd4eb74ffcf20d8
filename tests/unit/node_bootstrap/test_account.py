"""What the agent makes of AWS's answers."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import MagicMock

import boto3
import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.stub import Stubber
from fake_node import FACTS, FakeAccount, facts
from recorded_aws import RecordedAws

from node_bootstrap.agent.account import Account


@pytest.fixture
def aws(account: FakeAccount, monkeypatch: pytest.MonkeyPatch) -> RecordedAws:
    made = RecordedAws(account, FACTS["parameter_prefix"])
    made.install(monkeypatch)
    return made


@pytest.fixture
def reached(aws: RecordedAws) -> Account:
    return Account(facts())


def test_parameters_go_by_their_names_below_the_prefix(aws: RecordedAws, reached: Account) -> None:
    reached.publish("state", "{}")
    assert aws.account.told == {"state": "{}"}
    assert reached.parameters() == {"state": "{}"}
    assert aws.calls[0].given["Name"] == "/federate/fed/hospital-a/state"


def test_clients_that_were_made_without_credentials_are_made_again(
    aws: RecordedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_credentials = boto3.Session.client

    class Late:
        """What boto3 gives while the metadata service does not answer."""

        meta = MagicMock()

        def get_paginator(self, _name: str) -> Late:
            return self

        def paginate(self, **_: str) -> None:
            raise NoCredentialsError

    monkeypatch.setattr(boto3.Session, "client", lambda *_, **__: Late())
    reached = Account(facts())
    aws.account.told["state"] = "{}"
    monkeypatch.setattr(boto3.Session, "client", with_credentials)
    with pytest.raises(NoCredentialsError):
        reached.parameters()
    assert reached.parameters() == {"state": "{}"}


def test_an_object_is_read_or_written_to_a_file(aws: RecordedAws, reached: Account, tmp_path: Path) -> None:
    aws.account.objects["run/a"] = b"content"
    assert reached.read("run/a") == b"content"
    assert reached.download("run/a", tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"content"


def test_an_object_that_is_not_there_is_none_and_the_file_before_stays(
    aws: RecordedAws, reached: Account, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"before")
    assert reached.read("run/a") is None
    assert reached.download("run/a", tmp_path / "a") is False
    assert (tmp_path / "a").read_bytes() == b"before"


def test_s3_says_forbidden_of_what_is_not_there_to_who_may_list_under_prefixes_only(
    aws: RecordedAws, reached: Account, tmp_path: Path
) -> None:
    aws.account.objects["run/ab"] = b""
    aws.fail = {"GetObject"}
    assert reached.read("run/a") is None
    assert reached.download("run/a", tmp_path / "a") is False


def test_negative_control_what_is_there_and_forbidden_is_an_error(aws: RecordedAws, reached: Account) -> None:
    aws.account.objects["run/a"] = b""
    aws.fail = {"GetObject"}
    with pytest.raises(ClientError, match="AccessDenied"):
        reached.read("run/a")


def test_a_log_stream_is_made_once_and_one_that_is_there_is_used(aws: RecordedAws, reached: Account) -> None:
    with Stubber(aws.clients["logs"]) as logs:
        logs.add_client_error("create_log_stream", "ResourceAlreadyExistsException")
        for _ in range(2):
            logs.add_response("put_log_events", {})
        reached.log("s", ["one"])
        reached.log("s", ["two"])
        logs.assert_no_pending_responses()


def test_many_lines_go_in_several_calls_and_a_long_one_in_pieces(aws: RecordedAws, reached: Account) -> None:
    lines = [f"line {number}" for number in range(600)]
    reached.log("s", [*lines[:300], "", "   ", "x" * 1500, *lines[300:]])
    calls = [call.given["logEvents"] for call in aws.calls if call.operation == "PutLogEvents"]
    assert [event["message"] for events in calls for event in events] == [
        *lines[:300],
        "x" * 1000,
        "x" * 500,
        *lines[300:],
    ]
    # AWS allows 1 MiB a call, each event's 26 bytes included; a character has four bytes at most.
    assert all(sum(4 * len(event["message"]) + 26 for event in events) <= 1 << 20 for events in calls)


def test_an_empty_event_is_never_sent(aws: RecordedAws, reached: Account) -> None:
    reached.log("s", ["", " "])
    assert [call.operation for call in aws.calls] == ["CreateLogStream"]


def test_in_a_bucket_with_a_prefix_everything_is_below_it_and_the_agent_does_not_know(
    aws: RecordedAws, tmp_path: Path
) -> None:
    reached = Account(facts(bucket_prefix="icu/federate/"))
    aws.account.objects |= {"icu/federate/run/a": b"content", "run/b": b"another's"}
    assert [item.key for item in reached.items("run/")] == ["run/a"]
    assert reached.read("run/a") == b"content"
    assert reached.read("run/b") is None
    assert reached.download("run/a", tmp_path / "a")
    reached.upload(tmp_path / "a", "results/run/a")
    assert aws.calls[-1].given["Key"] == "icu/federate/results/run/a"
