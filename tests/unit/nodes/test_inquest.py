"""What is found out about a node that does not come up: reason, log, instance, console; and what could not be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from fake_parameters import FakeParameters

from infra.nodes import bring_up
from infra.nodes.bring_up import make_ready
from infra.nodes.control import NodeFailed
from infra.nodes.inquest import console_of, findings, machine_of
from infra.nodes.remote import Remote
from infra.progress import LiveTable

pytestmark = pytest.mark.usefixtures("no_pause")
CONSOLE = "[    0.0] Linux version 6.8\n[  OK  ] Mounted /\n\x1b[31mcloud-init: no datasource\x1b[0m\n"


@dataclass
class Account:
    """EC2, CloudFormation and logs of one account, with one instance."""

    state: str = "running"
    reason: str = ""
    console: str = CONSOLE
    lines: list[str] = field(default_factory=list)
    is_nitro: bool = True
    looks: int = 0

    def describe_stacks(self, **_: Any) -> Any:
        return {"Stacks": [{"Outputs": [{"OutputKey": "InstanceId", "OutputValue": "i-1"}]}]}

    def describe_instances(self, *, InstanceIds: Sequence[str]) -> Any:  # noqa: N803
        self.looks += 1
        if self.state == "forgotten":
            raise ClientError({"Error": {"Code": "InvalidInstanceID.NotFound", "Message": "gone"}}, "DescribeInstances")
        told = {
            "InstanceId": InstanceIds[0],
            "State": {"Name": self.state},
            "StateReason": {"Message": self.reason},
            "ImageId": "ami-1",
            "LaunchTime": datetime(2026, 11, 26, tzinfo=UTC),
        }
        return {"Reservations": [{"Instances": [told]}]}

    def describe_instance_status(self, *, InstanceIds: Sequence[str], IncludeAllInstances: bool) -> Any:  # noqa: N803
        assert IncludeAllInstances
        checks = {"SystemStatus": {"Status": "ok"}, "InstanceStatus": {"Status": "impaired"}}
        events = [{"Code": "system-reboot", "NotBefore": "2026-11-30"}]
        return {"InstanceStatuses": [{"InstanceId": InstanceIds[0], **checks, "Events": events}]}

    def get_console_output(self, *, InstanceId: str, Latest: bool = False) -> Any:  # noqa: N803
        if Latest and not self.is_nitro:
            raise ClientError({"Error": {"Code": "UnsupportedOperation", "Message": "no"}}, "GetConsoleOutput")
        return {"Output": self.console} if self.console else {}

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: Any) -> Iterator[Any]:
        stream = "hospital-a/bootstrap"
        yield {
            "events": [
                {"eventId": f"{at}", "timestamp": at, "logStreamName": stream, "message": text}
                for at, text in reversed(list(enumerate(self.lines)))  # streams come one after the other
            ]
        }


@pytest.fixture
def account(accounts: FakeParameters) -> Account:
    """The account of hospital-a."""
    made = Account()
    for service in ("ec2", "cloudformation", "logs"):
        accounts.others[service, "hospital-a"] = made
    return made


def said(remote: Remote, *, is_silent: bool = True) -> str:
    return "\n".join(findings(remote, is_silent=is_silent))


def test_a_silent_nodes_instance_checks_and_console_are_told(by_id: Mapping[str, Remote], account: Account) -> None:
    found = said(by_id["hospital-a"])
    assert "its log group /federate/fed/hospital-a holds no line" in found
    assert "instance i-1 is running; status checks: system ok, instance impaired" in found
    assert "planned: system-reboot from 2026-11-30" in found
    assert found.endswith("    cloud-init: no datasource"), "the console's end, without what steers a terminal"


def test_a_node_that_has_a_log_and_spoke_is_known_by_its_log(by_id: Mapping[str, Remote], account: Account) -> None:
    account.lines = [f"line {number}" for number in range(100)]
    found = said(by_id["hospital-a"], is_silent=False)
    assert "    bootstrap: line 99" in found
    assert "line 84\n" not in found, "the last fifteen are enough"
    assert "console" not in found


def test_why_an_instance_ended_is_told(by_id: Mapping[str, Remote], account: Account) -> None:
    account.state, account.reason = "terminated", "Server.SpotInstanceTermination"
    assert str(machine_of(by_id["hospital-a"])).startswith(
        "instance i-1 is terminated (Server.SpotInstanceTermination)"
    )


def test_an_instance_that_ec2_has_forgotten_is_gone(by_id: Mapping[str, Remote], account: Account) -> None:
    account.state = "forgotten"
    assert machine_of(by_id["hospital-a"]).is_gone


def test_the_console_of_an_older_type_is_asked_for_as_it_can_be(by_id: Mapping[str, Remote], account: Account) -> None:
    account.is_nitro = False
    assert console_of(by_id["hospital-a"], "i-1") == CONSOLE


def test_what_the_account_does_not_tell_is_said_and_is_no_error(by_id: Mapping[str, Remote]) -> None:
    found = said(by_id["hospital-a"])
    assert "hospital-a: its log could not be read: AWS refuses" in found
    assert "hospital-a: its instance and console could not be looked at: AWS refuses" in found
    assert "no logs" in found


@pytest.fixture
def table() -> Iterator[LiveTable]:
    with LiveTable("test", ("given", "state")) as made:
        yield made


def wait_for_a(by_id: Mapping[str, Remote], fed: Any, table: LiveTable, seconds: float) -> str:
    with pytest.raises(NodeFailed) as failed:
        make_ready([by_id["hospital-a"]], fed, None, table, timeout_seconds=seconds)
    assert failed.value.exit_code == 6
    return str(failed.value)


def test_the_wait_for_a_node_ends_at_once_when_it_says_that_it_failed(
    by_id: Mapping[str, Remote], fed: Any, accounts: FakeParameters, account: Account, table: LiveTable
) -> None:
    accounts.says("hospital-a", "failed", reason="the state volume cannot be read")
    account.lines = ["blkid ended with 8"]
    found = wait_for_a(by_id, fed, table, seconds=600)
    assert found.startswith("hospital-a failed: the state volume cannot be read\n")
    assert "    bootstrap: blkid ended with 8" in found
    assert "federate replace hospital-a" in found


def test_the_wait_for_a_silent_node_ends_when_its_instance_is_gone(
    by_id: Mapping[str, Remote], fed: Any, account: Account, table: LiveTable
) -> None:
    account.state, account.reason = "terminated", "Client.InvalidKMSKey"
    found = wait_for_a(by_id, fed, table, seconds=600)
    assert "hospital-a failed: its instance is gone before it said anything" in found
    assert "is terminated (Client.InvalidKMSKey)" in found
    assert "    [  OK  ] Mounted /" in found


def test_a_silent_node_that_runs_is_waited_for_and_then_told_with_its_console(
    by_id: Mapping[str, Remote], fed: Any, account: Account, table: LiveTable
) -> None:
    found = wait_for_a(by_id, fed, table, seconds=0)
    assert "Not ready after 0 s: hospital-a is silent." in found
    assert "cloud-init: no datasource" in found


def test_instances_are_looked_at_seldom(
    by_id: Mapping[str, Remote], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = bring_up._Gone([by_id["hospital-a"]])
    silent = by_id["hospital-a"].report()
    assert not any(gone.has_taken("hospital-a", silent) for _ in range(10))
    assert account.looks == 1
