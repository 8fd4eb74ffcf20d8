"""Commands by Systems Manager, to the stand-in for an agent that this test plays."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError
from reachable import make

from infra.errors import FederateError
from infra.local.aws.additions.run_command import RunCommand
from infra.local.aws.additions.run_command_api import run_command
from infra.nodes.reach import NobodyAnswers, Outcome, Ssm, TimedOut
from infra.nodes.reach import ssm as ssm_module
from infra.nodes.reach.unit import UNIT, Action, act
from infra.nodes.remote import NotDeployed, Remote

Answer = tuple[str, int, str, str]


@dataclass
class Agent:
    """Answers every command of one instance in the same way."""

    here: RunCommand
    instance: str
    answer: Answer = ("done", 0, "", "")
    scripts: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    is_deaf: bool = False
    stop: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        while not self.stop.is_set():
            due = self.here.poll(self.instance, 0.2)
            for one in due["run"]:
                self.here.begin(one["command"], self.instance)
                self.scripts.append(one["script"])
                if not self.is_deaf:
                    self.here.report(one["command"], self.instance, *self.answer)
            for command in due["cancel"]:
                self.cancelled.append(command)
                self.here.report(command, self.instance, "cancelled", -9, "", "")


@pytest.fixture
def site(deployed: Mapping[str, Remote], fed: Any) -> Remote:
    make(deployed["hospital-a"], fed)
    return deployed["hospital-a"]


@pytest.fixture
def agent(site: Remote) -> Iterator[Agent]:
    instance = site.stack_output("Node", "InstanceId")
    here = run_command(site.node.account, site.node.region)
    here.register(instance, {})
    made = Agent(here, instance)
    thread = threading.Thread(target=made.work, daemon=True)
    thread.start()
    yield made
    made.stop.set()
    thread.join(10)


def test_a_command_runs_and_its_outcome_comes_back(site: Remote, agent: Agent) -> None:
    agent.answer = ("done", 7, "to out\n", "to err\n")
    assert Ssm().run(site, "exit 7", 10) == Outcome(7, "to out\n", "to err\n")
    assert agent.scripts == ["exit 7"]


def test_a_node_whose_agent_never_registered_is_said_not_to_answer(site: Remote) -> None:
    with pytest.raises(NobodyAnswers, match=r"no Systems Manager agent of its instance i-.* has registered") as refusal:
        Ssm().run(site, "true", 10)
    assert refusal.value.exit_code == 4


def test_a_command_that_takes_too_long_is_said_to_have_been_ended(site: Remote, agent: Agent) -> None:
    agent.answer = ("timed-out", -1, "so far", "")
    with pytest.raises(TimedOut, match="did not end within 5 s"):
        Ssm().run(site, "sleep 100", 5)


def test_a_command_of_which_nothing_is_heard_is_cancelled(
    site: Remote, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.is_deaf = True
    monkeypatch.setattr(ssm_module, "_DELIVERY_SECONDS", 30)
    monkeypatch.setattr(ssm_module, "_GRACE_SECONDS", -30.0)
    with pytest.raises(TimedOut):
        Ssm().run(site, "sleep 100", 1)
    agent.stop.wait(2)
    assert len(agent.cancelled) == 1


def test_ctrl_c_cancels_what_nobody_waits_for_any_more(site: Remote, agent: Agent) -> None:
    agent.is_deaf = True

    def interrupted(_: float) -> None:
        if agent.scripts:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Ssm(pause=interrupted).run(site, "sleep 100", 10)
    agent.stop.wait(1)
    assert len(agent.cancelled) == 1


@pytest.mark.parametrize("code", ["ThrottlingException", "InvocationDoesNotExist"])
def test_what_another_try_may_give_is_tried_again_ever_more_seldom(site: Remote, agent: Agent, code: str) -> None:
    pauses: list[float] = []
    refusals = iter([ClientError({"Error": {"Code": code, "Message": "later"}}, "GetCommandInvocation")] * 3)
    with _failing(site, refusals):
        assert Ssm(pause=pauses.append).run(site, "true", 10).exit_code == 0
    assert pauses[:3] == sorted(set(pauses[:3]))


def test_any_other_refusal_is_told_at_once(site: Remote, agent: Agent) -> None:
    refusals = iter(
        [ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetCommandInvocation")]
    )
    with _failing(site, refusals), pytest.raises(FederateError, match="AccessDeniedException"):
        Ssm(pause=lambda _: pytest.fail("it waits")).run(site, "true", 10)


def test_a_node_that_is_not_deployed_is_said_to_be_so(deployed: Mapping[str, Remote]) -> None:
    with pytest.raises(NotDeployed):
        Ssm().run(deployed["hospital-b"], "true", 10)


@pytest.mark.parametrize(
    ("action", "line"),
    [
        (Action.START, f"systemctl start {UNIT}"),
        (Action.STOP, f"systemctl stop {UNIT}"),
        (Action.RESTART, f"systemctl restart {UNIT}"),
        (Action.STATUS, f"systemctl --no-pager status {UNIT}"),
        (Action.LOGS, f"journalctl --no-pager -u {UNIT} | tail -n 200"),
    ],
)
def test_the_unit_is_acted_on_by_fixed_commands_as_root(site: Remote, agent: Agent, action: Action, line: str) -> None:
    act(action, site, Ssm(), 10)
    assert agent.scripts == [line]


class _failing:  # noqa: N801 - reads as a word
    """Let the account's next answers about a command be these refusals."""

    def __init__(self, remote: Remote, refusals: Iterator[ClientError]) -> None:
        self._events = remote.client("ssm").meta.events
        self._refusals = refusals

    def __enter__(self) -> None:
        self._events.register("before-call.ssm.GetCommandInvocation", self._refuse)

    def __exit__(self, *_: object) -> None:
        self._events.unregister("before-call.ssm.GetCommandInvocation", self._refuse)

    def _refuse(self, **_: object) -> None:
        error = next(self._refusals, None)
        if error is not None:
            raise error
