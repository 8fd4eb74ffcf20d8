"""A command's life, from the call to the agent's report, by a clock of the test's own."""

from __future__ import annotations

from typing import Any

import pytest

from infra.local.aws.additions.commands import Refused
from infra.local.aws.additions.run_command import DOCUMENT, ONLINE_SECONDS, OUTPUT_CHARACTERS, RunCommand

NODE = "i-0000000000000000a"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def here(clock: Clock) -> RunCommand:
    made = RunCommand(clock)
    made.register(NODE, {"PlatformName": "Debian"})
    return made


def send(here: RunCommand, *lines: str, **more: Any) -> str:
    return here.send([NODE], DOCUMENT, {"commands": lines or ("true",), **more.pop("parameters", {})}, **more).id


def take(here: RunCommand) -> list[str]:
    """Begin what is due, as an agent does, and return which commands it was."""
    commands = [one["command"] for one in here.poll(NODE)["run"]]
    for command in commands:
        here.begin(command, NODE)
    return commands


def status(here: RunCommand, command: str) -> tuple[str, str, int]:
    _, found = here.invocation(command, NODE)
    return found.status, found.details, found.exit_code


def test_a_command_is_pending_then_in_progress_then_what_its_script_came_to(here: RunCommand) -> None:
    command = send(here, "cd /", "ls")
    assert status(here, command) == ("Pending", "Pending", -1)
    assert here.poll(NODE)["run"] == [{"command": command, "script": "cd /\nls", "folder": "", "timeout": 3600}]
    here.begin(command, NODE)
    assert status(here, command) == ("InProgress", "InProgress", -1)
    here.report(command, NODE, "done", 3, "out", "err")
    assert status(here, command) == ("Failed", "Failed", 3)
    assert here.commands(command)[0].status == "Failed"


def test_a_command_whose_agent_died_before_it_began_is_given_again_and_begun_once(here: RunCommand) -> None:
    command = send(here)
    assert [one["command"] for one in here.poll(NODE)["run"]] == [command]
    assert take(here) == [command]
    with pytest.raises(Refused, match="InProgress"):
        here.begin(command, NODE)
    assert here.poll(NODE) == {"run": [], "cancel": []}


def test_a_command_that_was_cancelled_meanwhile_is_not_begun(here: RunCommand) -> None:
    command = send(here)
    here.poll(NODE)
    here.cancel(command)
    with pytest.raises(Refused, match="Cancelled"):
        here.begin(command, NODE)


def test_an_output_is_cut_where_aws_cuts_it(here: RunCommand) -> None:
    command = send(here)
    take(here)
    here.report(command, NODE, "done", 0, "x" * (OUTPUT_CHARACTERS + 1), "")
    assert len(here.invocation(command, NODE)[1].stdout) == OUTPUT_CHARACTERS


def test_what_no_agent_fetches_in_time_times_out(here: RunCommand, clock: Clock) -> None:
    command = send(here, delivery_seconds=30)
    clock.now += 29
    assert status(here, command)[0] == "Pending"
    clock.now += 1
    assert status(here, command) == ("TimedOut", "Delivery Timed Out", -1)
    assert here.poll(NODE)["run"] == []


def test_what_an_agent_that_is_gone_never_reports_times_out(here: RunCommand, clock: Clock) -> None:
    command = send(here, parameters={"executionTimeout": ["10"]})
    take(here)
    clock.now += 20
    assert status(here, command)[0] == "InProgress"
    clock.now += 21
    assert status(here, command) == ("TimedOut", "Execution Timed Out", -1)
    here.report(command, NODE, "done", 0, "", "")
    assert status(here, command)[0] == "TimedOut"


def test_a_pending_command_is_cancelled_at_once_and_a_running_one_by_its_agent(here: RunCommand) -> None:
    waiting, running = send(here), send(here)
    here.cancel(waiting)
    assert status(here, waiting)[0] == "Cancelled"
    assert take(here) == [running]
    here.cancel(running)
    assert status(here, running)[0] == "Cancelling"
    assert here.poll(NODE)["cancel"] == [running]
    here.report(running, NODE, "cancelled", -9, "so far", "")
    assert status(here, running) == ("Cancelled", "Cancelled", -1)


def test_an_agent_that_is_silent_is_no_longer_online(here: RunCommand, clock: Clock) -> None:
    clock.now += ONLINE_SECONDS - 1
    assert [online for _, online in here.agents()] == [True]
    clock.now += 1
    assert [online for _, online in here.agents()] == [False]
    here.poll(NODE)
    assert [online for _, online in here.agents()] == [True]


@pytest.mark.parametrize(
    ("instances", "document", "parameters", "code"),
    [
        (["i-b"], DOCUMENT, {"commands": ["true"]}, "InvalidInstanceId"),
        ([NODE, NODE], DOCUMENT, {"commands": ["true"]}, "DuplicateInstanceId"),
        ([NODE], "AWS-RunPowerShellScript", {"commands": ["true"]}, "InvalidDocument"),
        ([NODE], DOCUMENT, {}, "InvalidParameters"),
        ([NODE], DOCUMENT, {"commands": ["true"], "shell": ["zsh"]}, "InvalidParameters"),
        ([NODE], DOCUMENT, {"commands": ["true"], "executionTimeout": ["0"]}, "InvalidParameters"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(
    here: RunCommand, instances: list[str], document: str, parameters: dict[str, list[str]], code: str
) -> None:
    with pytest.raises(Refused) as refusal:
        here.send(instances, document, parameters)
    assert refusal.value.code == code


def test_an_agent_that_has_not_registered_is_given_nothing(here: RunCommand) -> None:
    with pytest.raises(Refused, match="has not registered"):
        here.poll("i-b")


def test_an_agent_cannot_report_what_is_anothers(here: RunCommand) -> None:
    command = send(here)
    here.register("i-b", {})
    with pytest.raises(Refused) as refusal:
        here.report(command, "i-b", "done", 0, "", "")
    assert refusal.value.code == "InvocationDoesNotExist"
