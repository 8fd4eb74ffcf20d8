"""A node does what its operator wants of it, through whatever ends a process, and says how that goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, EndpointConnectionError
from fake_node import FakeAccount, FakeApplication, facts, release_of

from infra.federation.derive import Node
from infra.identity import Authority
from node_bootstrap import contract
from node_bootstrap.agent import loop as loop_module
from node_bootstrap.agent.application import Folders
from node_bootstrap.agent.application_log import ApplicationLog
from node_bootstrap.agent.loop import Loop
from node_bootstrap.agent.notices import Notice

RUN = "20261125T160045Z-3a6e"
NEXT = "20261125T170000Z-77aa"


@dataclass
class Machine:
    """A node's machine: its agent, which may be killed and started again, and its applications so far."""

    account: FakeAccount
    folder: Path
    node: Node
    authority: Authority
    now: float = 0.0
    applications: list[FakeApplication] = field(default_factory=list)
    notice: Notice | None = None
    root: str = "root"

    def __post_init__(self) -> None:
        self.boot()

    def boot(self) -> None:
        """Start the agent, after a kill as well: nothing but the disk remembers."""
        who = facts(node=self.node.id, role=self.node.role)
        root, state = self.folder / self.root, self.folder / "state"
        self.agent = Loop(who, self.account, root, state, clock=lambda: self.now, notice=lambda: self.notice)

    def replace(self) -> None:
        """Have another instance: a root volume of its own, no notice, and the state volume of the one before."""
        self.notice, self.root = None, f"{self.root}-next"
        self.boot()

    def step(self, times: int = 1) -> tuple[str, str]:
        """Let the agent look, and return what it says: state and reason."""
        for _ in range(times):
            self.agent.step()
        return self.says

    @property
    def says(self) -> tuple[str, str]:
        return self.account.state["state"], self.account.state["reason"]

    def enrol(self) -> None:
        """Answer the node's request, as the coordinator does."""
        self.step()
        request = self.account.told[contract.REQUEST].encode()
        self.account.told[contract.AUTHORITY] = self.authority.pem.decode()
        self.account.told[contract.CERTIFICATE] = self.authority.sign(request, self.node, days=90).decode()
        self.step()

    def start(self, run: str = RUN) -> FakeApplication:
        """Want it started, let it look, and return the application that it has begun."""
        self.account.start(run)
        self.step()
        return self.application

    @property
    def application(self) -> FakeApplication:
        return self.applications[-1]

    @property
    def output(self) -> Path:
        return self.folder / "state" / "output"


@pytest.fixture
def machine(
    account: FakeAccount,
    authority: Authority,
    all_nodes: dict[str, Node],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Machine:
    """A machine that has just come up; nothing was given to it yet."""
    made = Machine(account, tmp_path / "machine", all_nodes["hospital-a"], authority)

    def application(role: str, code: Path, folders: Folders, log: ApplicationLog, *, start: str) -> FakeApplication:
        made.applications.append(FakeApplication(role, code, folders, log, start=start))
        return made.application

    monkeypatch.setattr(loop_module, "Application", application)
    return made


@pytest.fixture
def ready(machine: Machine) -> Machine:
    """A machine that is enrolled and has been given all it needs."""
    machine.account.give()
    machine.enrol()
    return machine


def test_a_node_boots_waits_for_its_certificate_and_is_ready(machine: Machine) -> None:
    assert machine.step() == ("booting", "waits for its certificate")
    machine.enrol()
    assert machine.says == ("ready", "")
    assert (machine.folder / "state" / "tls" / "certificate.pem").exists()


def test_a_started_node_waits_then_runs_then_is_finished_and_its_results_are_in_the_bucket(ready: Machine) -> None:
    application = ready.start()
    assert ready.says == ("waiting", "the application starts")
    assert (application.role, application.code.name) == ("client", ready.account.told[contract.APPROVED_RELEASE])
    application.comes_to(0, "waiting", waiting_for=["aggregator"])
    assert ready.step() == ("waiting", "")
    assert ready.account.state["progress"]["waiting_for"] == ["aggregator"]
    application.comes_to(1)
    assert ready.step() == ("running", "")
    assert (ready.account.state["run"], ready.account.state["progress"]["round"]) == (RUN, 1)
    application.comes_to(3, "finished")
    application.writes("summary.json", "{}")
    application.writes(".part", "")
    application.ends(0)
    assert ready.step() == ("finished", "")
    assert ready.account.objects[f"results/{RUN}/summary.json"] == b"{}"
    assert f"results/{RUN}/.part" not in ready.account.objects
    assert ready.account.state["progress"]["round"] == 3


def test_a_state_is_published_when_it_changes_and_not_at_every_look(ready: Machine) -> None:
    ready.start()
    ready.application.comes_to(1)
    ready.step()
    before = len(ready.account.published)
    ready.step(5)
    assert len(ready.account.published) == before
    ready.application.comes_to(2)
    ready.step()
    assert len(ready.account.published) == before + 1


@pytest.mark.parametrize("code", [0, 2])
def test_what_is_over_is_not_begun_again_whatever_is_restarted(ready: Machine, code: int) -> None:
    ready.start().ends(code, "No data.")
    said = ready.step()
    ready.boot()
    assert ready.step(3) == said == (("finished", "") if code == 0 else ("failed", "No data."))
    assert len(ready.applications) == 1


def test_a_run_goes_on_after_the_agent_was_killed(ready: Machine) -> None:
    first = ready.start()
    first.comes_to(1)
    first.writes("rounds.jsonl", '{"round": 0}\n')
    ready.step()
    ready.boot()
    ready.step()
    assert (len(ready.applications), ready.account.state["run"]) == (2, RUN)
    assert (ready.output / "rounds.jsonl").read_text() == '{"round": 0}\n'


def test_a_second_run_begins_without_the_results_of_the_first_and_keeps_its_own_through_a_kill(ready: Machine) -> None:
    first = ready.start(RUN)
    first.writes("rounds.jsonl", "first\n")
    first.ends(0)
    ready.step()
    second = ready.start(NEXT)
    assert list(ready.output.iterdir()) == []
    second.writes("rounds.jsonl", "second\n")
    ready.boot()
    ready.step()
    ready.application.ends(0)
    ready.step()
    assert ready.account.objects[f"results/{RUN}/rounds.jsonl"] == b"first\n"
    assert ready.account.objects[f"results/{NEXT}/rounds.jsonl"] == b"second\n"


def test_results_of_a_finished_run_are_never_taken_for_those_of_a_later_one(ready: Machine) -> None:
    ready.start("first").writes("model.safetensors", "first")
    ready.application.ends(0)
    ready.step()
    manifest = ready.account.objects.pop(contract.MANIFEST_KEY)
    ready.account.start("second")
    assert ready.step()[0] == "failed"
    ready.account.objects[contract.MANIFEST_KEY] = manifest
    ready.start("third").ends(2)
    ready.step()
    assert [key for key in ready.account.objects if key.startswith("results/")] == ["results/first/model.safetensors"]


def test_stop_ends_it_in_order_and_the_next_start_goes_on_from_there(ready: Machine) -> None:
    first = ready.start(RUN)
    first.comes_to(1)
    first.writes("rounds.jsonl", '{"round": 0}\n')
    ready.step()
    ready.account.stop(RUN)
    assert ready.step() == ("stopped", "stopped as asked")
    assert first.was_stopped
    assert ready.account.objects[f"results/{RUN}/rounds.jsonl"] == b'{"round": 0}\n'
    ready.boot()
    assert ready.step(2) == ("stopped", "stopped as asked")
    ready.start(NEXT)
    assert (len(ready.applications), ready.says[0]) == (2, "waiting")
    assert (ready.output / "rounds.jsonl").read_text() == '{"round": 0}\n'


def test_the_same_run_may_be_started_again_after_a_stop(ready: Machine) -> None:
    ready.start(RUN)
    ready.account.stop(RUN)
    ready.step()
    ready.start(RUN)
    assert (len(ready.applications), ready.says[0]) == (2, "waiting")


def test_another_run_takes_the_place_of_the_one_that_runs(ready: Machine) -> None:
    first = ready.start(RUN)
    ready.step()
    second = ready.start(NEXT)
    assert first.was_stopped
    assert second is not first
    assert ready.account.state["run"] == NEXT


def test_a_crash_is_answered_by_another_start_later_each_time_and_five_times_at_most(ready: Machine) -> None:
    ready.start()
    pauses = []
    for attempt in range(1, 6):
        ready.application.ends(-9)
        assert ready.step() == ("waiting", "ended with signal 9; starts again")
        begin = ready.now
        while len(ready.applications) == attempt:
            ready.now += 0.5
            ready.step()
        pauses.append(ready.now - begin)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0]
    ready.application.ends(1, "unexpected ValueError: bad")
    assert ready.step() == ("failed", "unexpected ValueError: bad")
    ready.now += 1000
    ready.step(3)
    assert len(ready.applications) == 6


def test_a_crash_after_a_further_round_counts_as_the_first(ready: Machine) -> None:
    ready.start()
    for round_ in range(1, 20):
        ready.application.comes_to(round_)
        ready.step()
        ready.application.ends(1)
        ready.step()
        ready.now += 1.0
        ready.step()
    assert len(ready.applications) == 20


@pytest.mark.parametrize("code", [2, 3])
def test_what_another_try_would_only_repeat_fails_at_once_with_the_reason(ready: Machine, code: int) -> None:
    ready.start().ends(code, "The certificate has expired.")
    ready.application.writes("error.log", "why")
    assert ready.step() == ("failed", "The certificate has expired.")
    assert ready.account.objects[f"results/{RUN}/error.log"] == b"why"
    ready.start(NEXT)
    assert len(ready.applications) == 2


@pytest.mark.parametrize("garbage", ["", "start!", "[]", '{"state": "started", "run": ""}', "x" * 4096])
def test_what_cannot_be_read_as_a_wish_is_told_and_put_right_by_the_next_wish(ready: Machine, garbage: str) -> None:
    ready.account.told[contract.DESIRED] = garbage
    state, reason = ready.step()
    assert state == "failed"
    assert "desired" in reason
    assert ready.applications == []
    ready.start()
    assert ready.says == ("waiting", "the application starts")


def test_what_runs_goes_on_while_the_wish_cannot_be_read(ready: Machine) -> None:
    ready.start().comes_to(1)
    ready.step()
    ready.account.told[contract.DESIRED] = "stop it, please"
    state, reason = ready.step()
    assert state == "running"
    assert "desired" in reason
    ready.application.ends(-9)
    ready.step()
    ready.now += 1.0
    ready.step()
    assert len(ready.applications) == 2
    ready.account.stop(RUN)
    assert ready.step() == ("stopped", "stopped as asked")


def test_a_release_that_is_not_the_approved_one_is_not_run_and_the_state_says_why(ready: Machine) -> None:
    other = ready.account.give(release_of({"fl_app/__init__.py": b"other"}), approve=False)
    ready.account.start(RUN)
    state, reason = ready.step()
    assert state == "failed"
    assert f"the release {other[:12]} is to run, this account's admin approved" in reason
    assert "`federate approve`" in reason
    assert ready.applications == []
    ready.account.told[contract.APPROVED_RELEASE] = other
    assert ready.step(2) == (state, reason)
    ready.start(NEXT)
    assert len(ready.applications) == 1


def test_nothing_begins_before_the_node_is_enrolled(machine: Machine) -> None:
    machine.account.give()
    machine.account.start(RUN)
    assert machine.step(2) == ("booting", "waits for its certificate")
    assert machine.applications == []
    machine.enrol()
    assert len(machine.applications) == 1


def test_a_certificate_that_does_not_fit_is_told_and_a_run_goes_on_with_the_one_it_has(ready: Machine) -> None:
    ready.account.told[contract.CERTIFICATE] = "nonsense"
    assert ready.step()[1].startswith("waits for its certificate: what was given as certificate cannot be read")
    ready.enrol()
    ready.start().comes_to(1)
    ready.step()
    ready.account.told[contract.CERTIFICATE] = "nonsense"
    assert ready.step() == ("running", "")


def test_a_request_that_was_changed_is_published_anew(ready: Machine) -> None:
    request = ready.account.told[contract.REQUEST]
    ready.account.told[contract.REQUEST] = "another's"
    ready.step()
    assert ready.account.told[contract.REQUEST] == request


def test_an_account_that_does_not_answer_stops_nothing(ready: Machine) -> None:
    application = ready.start()
    application.comes_to(1)
    ready.step()
    ready.account.silent = True
    for _ in range(3):
        with pytest.raises(BotoCoreError):
            ready.agent.step()
    assert (application.was_stopped, len(ready.applications)) == (False, 1)
    ready.account.silent = False
    application.comes_to(2)
    ready.step()
    assert ready.account.state["progress"]["round"] == 2


def test_results_that_could_not_be_brought_are_brought_by_the_next_look(ready: Machine, tmp_path: Path) -> None:
    ready.start().writes("summary.json", "{}")
    ready.application.ends(0)
    upload = ready.account.upload

    def fails(path: Path, key: str) -> None:
        ready.account.upload = upload  # type: ignore[method-assign]
        ready.account.silent = True
        upload(path, key)

    ready.account.upload = fails  # type: ignore[method-assign]
    with pytest.raises(BotoCoreError):
        ready.agent.step()
    ready.account.silent = False
    assert ready.step() == ("finished", "")
    assert ready.account.objects[f"results/{RUN}/summary.json"] == b"{}"


def test_an_agent_that_is_killed_while_it_brings_results_brings_them_and_runs_nothing_again(ready: Machine) -> None:
    ready.start().writes("summary.json", "{}")
    ready.application.ends(0)

    def killed(path: Path, key: str) -> None:
        raise KeyboardInterrupt

    upload, ready.account.upload = ready.account.upload, killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        ready.agent.step()
    assert ready.says[0] == "waiting"  # not finished before the results are there
    ready.account.upload = upload  # type: ignore[method-assign]
    ready.boot()
    assert ready.step() == ("finished", "")
    assert ready.account.objects[f"results/{RUN}/summary.json"] == b"{}"
    assert len(ready.applications) == 1


def test_the_next_run_begins_once_the_results_of_the_one_before_are_brought(ready: Machine) -> None:
    ready.start(RUN).writes("summary.json", "first")
    ready.application.ends(0)
    upload = ready.account.upload

    def fails(path: Path, key: str) -> None:
        ready.account.upload = upload  # type: ignore[method-assign]
        raise EndpointConnectionError(endpoint_url="https://s3")

    ready.account.upload = fails  # type: ignore[method-assign]
    with pytest.raises(BotoCoreError):
        ready.agent.step()
    ready.start(NEXT)
    assert ready.account.objects[f"results/{RUN}/summary.json"] == b"first"
    assert (len(ready.applications), list(ready.output.iterdir())) == (2, [])


def test_a_full_disk_is_told_and_tried_again(ready: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device", "/var/lib/federate/root/data/x")

    with monkeypatch.context() as patched:
        patched.setattr(loop_module, "fetch", full)
        ready.account.start(RUN)
        with pytest.raises(OSError, match="No space left"):
            ready.agent.step()
    assert ready.says[0] == "booting"
    assert "No space left on device" in ready.says[1]
    assert ready.step() == ("waiting", "the application starts")


@pytest.mark.parametrize("round_", [None, "two", [], {}])
def test_progress_of_another_kind_than_agreed_does_not_end_the_agent(ready: Machine, round_: Any) -> None:
    ready.start().comes_to(round_)
    assert ready.step()[0] == "running"


def test_what_is_published_fits_into_a_parameter(ready: Machine) -> None:
    names = [f"hospital-{number:023}" for number in range(125)]  # as many sites as a VPC can peer with, long names
    ready.start().comes_to(1, waiting_for=names)
    ready.step()
    assert ready.account.state["progress"]["waiting_for"] == [*names[:20], "105 more"]
    ready.application.ends(2, "ä" * 5000)
    assert ready.step() == ("failed", "ä" * 600 + "…")


def test_the_agent_ends_with_its_application(ready: Machine) -> None:
    application = ready.start()
    ready.agent.close()
    assert application.was_stopped
    ready.boot()
    ready.agent.close()


def test_the_aggregator_runs_without_data(
    account: FakeAccount, all_nodes: dict[str, Node], machine: Machine, tmp_path: Path
) -> None:
    hub = Machine(account, tmp_path / "hub", all_nodes["aggregator"], machine.authority, applications=[])
    hub.applications = machine.applications
    account.give(data={})
    hub.enrol()
    assert hub.start().role == "aggregator"


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("{")])
def test_without_the_note_of_how_it_ended_a_run_is_begun_again_rather_than_lost(
    ready: Machine, damage: Callable[[Path], object]
) -> None:
    ready.start().ends(0)
    ready.step()
    damage(ready.folder / "state" / "ended.json")
    ready.boot()
    ready.step()
    assert (len(ready.applications), ready.says[0]) == (2, "waiting")


def hub_of(machine: Machine, account: FakeAccount, node: Node, folder: Path) -> Machine:
    """Return an aggregator's machine that is enrolled and given all it needs."""
    hub = Machine(account, folder, node, machine.authority, applications=machine.applications)
    account.give(data={})
    hub.enrol()
    return hub


def test_a_running_aggregator_is_given_other_run_files_and_a_site_is_not(
    account: FakeAccount, all_nodes: dict[str, Node], machine: Machine, tmp_path: Path
) -> None:
    hub = hub_of(machine, account, all_nodes["aggregator"], tmp_path / "hub")
    config = hub.start().folders.config / "fedml_config.yaml"
    account.give(files={"fedml_config.yaml": b"rounds: 4\n"}, data={})
    hub.step()
    assert config.read_text() == "rounds: 3\n"  # it does not look all the time
    hub.now += 10.0
    hub.step()
    assert config.read_text() == "rounds: 4\n"
    assert not hub.application.was_stopped

    machine.account = FakeAccount()
    machine.boot()
    machine.account.give()
    machine.enrol()
    own = machine.start().folders.config / "fedml_config.yaml"
    machine.account.give(files={"fedml_config.yaml": b"rounds: 4\n"})
    machine.now += 10.0
    machine.step()
    assert own.read_text() == "rounds: 3\n"


def test_run_files_that_cannot_be_used_change_nothing_for_a_running_aggregator(
    account: FakeAccount, all_nodes: dict[str, Node], machine: Machine, tmp_path: Path
) -> None:
    hub = hub_of(machine, account, all_nodes["aggregator"], tmp_path / "hub")
    config = hub.start().folders.config / "fedml_config.yaml"
    account.objects[contract.MANIFEST_KEY] = b"{"
    hub.now += 10.0
    assert hub.step()[0] == "waiting"
    assert config.read_text() == "rounds: 3\n"


def test_a_cancelled_run_ends_for_good_and_the_next_start_begins_anew(
    account: FakeAccount, all_nodes: dict[str, Node], machine: Machine, tmp_path: Path
) -> None:
    hub = hub_of(machine, account, all_nodes["aggregator"], tmp_path / "hub")
    hub.start()
    checkpoints = tmp_path / "hub" / "state" / "checkpoints"
    checkpoints.mkdir()
    account.want("cancelled", RUN)
    assert hub.step() == ("stopped", "the run was cancelled")
    assert hub.application.was_cancelled
    assert not checkpoints.exists()
    account.start(RUN)
    assert hub.step() == ("stopped", "the run was cancelled")  # not under the same name
    hub.start(NEXT)
    assert (len(hub.applications), hub.says[0]) == (2, "waiting")


def test_a_run_that_was_stopped_can_still_be_cancelled(ready: Machine) -> None:
    ready.start()
    ready.account.stop(RUN)
    ready.step()
    checkpoints = ready.folder / "state" / "checkpoints"
    checkpoints.mkdir()
    ready.account.want("cancelled", RUN)
    assert ready.step(2) == ("stopped", "the run was cancelled")
    assert not checkpoints.exists()


def test_a_site_whose_aggregator_has_cancelled_the_run_is_stopped_and_not_failed(ready: Machine) -> None:
    ready.start().ends(5)
    assert ready.step() == ("stopped", "the run was cancelled")
    assert ready.step() == ("stopped", "the run was cancelled")
    assert len(ready.applications) == 1


def test_a_run_that_failed_for_good_can_still_be_cancelled(ready: Machine) -> None:
    ready.start().ends(2, "the disk is full")
    assert ready.step()[0] == "failed"
    checkpoints = ready.folder / "state" / "checkpoints"
    checkpoints.mkdir()
    ready.account.want("cancelled", RUN)
    assert ready.step() == ("stopped", "the run was cancelled")
    assert not checkpoints.exists()


def test_a_run_that_was_done_before_it_heard_of_its_cancelling_is_finished(ready: Machine) -> None:
    application = ready.start()

    def cancel() -> None:
        application.ends(0)

    application.cancel = cancel  # type: ignore[method-assign]
    ready.account.want("cancelled", RUN)
    assert ready.step()[0] == "finished"
    assert ready.step()[0] == "finished"


SPOT = Notice("spot notice: terminate at 2026-11-26T09:02:00Z", True)


def test_a_notice_stops_the_application_in_order_and_the_state_says_why(ready: Machine) -> None:
    application = ready.start()
    application.comes_to(2)
    ready.notice = SPOT
    assert ready.step() == ("stopped", "interrupted: spot notice: terminate at 2026-11-26T09:02:00Z")
    assert application.was_stopped
    assert (ready.account.state["run"], ready.account.state["progress"]["round"]) == (RUN, 2)


def test_a_notice_stops_the_application_also_while_the_account_is_silent(ready: Machine) -> None:
    application = ready.start()
    ready.notice, ready.account.silent = SPOT, True
    with pytest.raises(BotoCoreError):
        ready.step()
    assert application.was_stopped
    ready.account.silent = False
    assert ready.step()[0] == "stopped"


def test_after_a_notice_nothing_begins_on_that_instance_whatever_is_restarted_or_wanted(ready: Machine) -> None:
    ready.start()
    ready.notice = SPOT
    ready.step()
    ready.boot()
    ready.step(2)
    ready.account.start(NEXT)
    assert ready.step(2) == ("stopped", "interrupted: spot notice: terminate at 2026-11-26T09:02:00Z")
    assert len(ready.applications) == 1


def test_the_next_instance_goes_on_with_the_run_by_itself(ready: Machine) -> None:
    application = ready.start()
    application.comes_to(2)
    ready.notice = SPOT
    ready.step()
    ready.replace()
    ready.step()
    assert (len(ready.applications), ready.application.start) == (2, RUN)
    assert ready.application.folders.state == application.folders.state
    ready.application.comes_to(2)
    assert ready.step() == ("running", "")


def test_an_instance_that_has_come_through_its_maintenance_goes_on_by_itself(ready: Machine) -> None:
    ready.start()
    ready.notice = Notice("maintenance notice: system-reboot at 26 Nov 2026 09:00:00 GMT", True)
    ready.step()
    ready.notice = None
    assert ready.step() == ("waiting", "the application starts")


def test_what_is_not_due_yet_is_told_and_training_goes_on(ready: Machine) -> None:
    application = ready.start()
    application.comes_to(2)
    ready.notice = Notice("maintenance notice: system-reboot at 30 Nov 2026 09:00:00 GMT", False)
    assert ready.step() == ("running", "maintenance notice: system-reboot at 30 Nov 2026 09:00:00 GMT")
    assert application.exit_code() is None


def test_a_run_that_is_just_over_when_a_notice_comes_is_finished(ready: Machine) -> None:
    application = ready.start()
    application.comes_to(3, "finished")
    application.ends(0)
    ready.notice = SPOT
    assert ready.step() == ("finished", "")
    assert ready.step() == ("finished", "")
