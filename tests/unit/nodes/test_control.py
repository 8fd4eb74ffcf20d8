"""What is wanted of nodes is set once, and what became of it is told with the node's own reason."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
from fake_parameters import FakeParameters

from infra.accounts import AwsRefused
from infra.nodes.control import NodeFailed, desired_of, start, stop, wait_until
from infra.nodes.remote import Remote, Report
from node_bootstrap import contract
from node_bootstrap.contract import Desired, NodeState, is_run_name

Nodes = Mapping[str, Remote]


def is_ready(_: str, report: Report) -> bool:
    return report.state is NodeState.READY


def test_nodes_that_are_started_together_share_the_name_of_the_start(
    everybody: tuple[Remote, ...], accounts: FakeParameters
) -> None:
    started = start(everybody)
    assert set(started) == {"aggregator", "hospital-a", "hospital-b"}
    (name,) = set(started.values())
    assert is_run_name(name)
    for remote in everybody:
        assert desired_of(remote) == Desired("started", name)
    assert len(accounts.puts) == 3


@pytest.mark.parametrize("state", ["booting", "waiting", "running"])
def test_what_runs_already_goes_on_under_its_name(by_id: Nodes, accounts: FakeParameters, state: str) -> None:
    site = by_id["hospital-a"]
    first = start([site])
    accounts.says("hospital-a", state, run=first["hospital-a"])
    accounts.puts.clear()
    assert start([site]) == first
    assert accounts.puts == []


def test_a_wish_that_the_node_has_not_seen_yet_is_not_changed(by_id: Nodes, accounts: FakeParameters) -> None:
    site = by_id["hospital-a"]
    accounts.says("hospital-a", "failed", run="the-one-before")
    first = start([site])
    assert start([site]) == first


@pytest.mark.parametrize("state", ["finished", "failed", "stopped", "ready"])
def test_what_has_ended_is_begun_anew_under_another_name(by_id: Nodes, accounts: FakeParameters, state: str) -> None:
    site = by_id["hospital-a"]
    first = start([site])["hospital-a"]
    accounts.says("hospital-a", state, run=first)
    second = start([site])["hospital-a"]
    assert second != first
    assert desired_of(site) == Desired("started", second)


def test_again_begins_anew_on_what_runs(by_id: Nodes, accounts: FakeParameters) -> None:
    site = by_id["hospital-a"]
    first = start([site])["hospital-a"]
    accounts.says("hospital-a", "running", run=first)
    assert start([site], again=True)["hospital-a"] != first


def test_one_that_runs_and_one_that_does_not_get_what_each_needs(by_id: Nodes, accounts: FakeParameters) -> None:
    first = start([by_id["hospital-a"]])["hospital-a"]
    accounts.says("hospital-a", "running", run=first)
    both = start([by_id["hospital-a"], by_id["hospital-b"]])
    assert both["hospital-a"] == first != both["hospital-b"]


def test_stop_keeps_the_name_of_what_it_stops(by_id: Nodes, accounts: FakeParameters) -> None:
    site = by_id["hospital-a"]
    name = start([site])["hospital-a"]
    for _ in range(2):
        stop([site])
        assert desired_of(site) == Desired("stopped", name)
    assert accounts.puts == [("hospital-a", contract.DESIRED)] * 2


def test_stop_asks_nothing_of_a_node_that_was_never_started(by_id: Nodes, accounts: FakeParameters) -> None:
    assert stop([by_id["hospital-a"]]) == ()
    assert accounts.puts == []


def test_stop_tells_who_may_run_still(by_id: Nodes) -> None:
    start([by_id["hospital-a"]])
    for _ in range(2):  # a second time, the first may not be over yet
        assert stop([by_id["hospital-a"], by_id["hospital-b"]]) == (by_id["hospital-a"],)


def test_start_and_stop_put_a_wish_right_that_cannot_be_read(by_id: Nodes, accounts: FakeParameters) -> None:
    site = by_id["hospital-a"]
    for act, state in ((start, "started"), (stop, "stopped")):
        accounts.tell("hospital-a", contract.DESIRED, "run, please")
        act([site])
        assert Desired.read(accounts.told("hospital-a", contract.DESIRED)).state == state


@pytest.mark.usefixtures("no_pause")
def test_waiting_ends_when_all_are_as_wanted(everybody: tuple[Remote, ...], accounts: FakeParameters) -> None:
    looks, shown = itertools.count(), []

    def meanwhile() -> None:
        for node in ("aggregator", "hospital-a", "hospital-b")[: next(looks)]:
            accounts.says(node, "ready")

    found = wait_until(
        everybody, is_ready, what="ready", timeout_seconds=60, show=lambda f: shown.append(dict(f)), meanwhile=meanwhile
    )
    assert {report.state for report in found.values()} == {NodeState.READY}
    assert [sum(report.state is not None for report in moment.values()) for moment in shown] == [0, 1, 2, 3]


@pytest.mark.usefixtures("no_pause")
def test_every_node_that_failed_is_named_with_its_reason_and_what_to_do(
    everybody: tuple[Remote, ...], accounts: FakeParameters
) -> None:
    accounts.says("aggregator", "ready")
    accounts.says("hospital-a", "failed", reason="No data.")
    accounts.says("hospital-b", "failed")
    with pytest.raises(NodeFailed) as error:
        wait_until(everybody, is_ready, what="ready", timeout_seconds=60)
    assert str(error.value).splitlines() == [
        "hospital-a failed: No data.",
        "hospital-b failed: it does not say why",
        "  Its log: federate logs hospital-a hospital-b. After the repair: federate start hospital-a hospital-b.",
    ]
    assert error.value.exit_code == 6


@pytest.mark.usefixtures("no_pause")
def test_after_the_time_is_over_each_late_node_is_named_with_what_it_does(
    everybody: tuple[Remote, ...], accounts: FakeParameters
) -> None:
    accounts.says("aggregator", "ready")
    accounts.says("hospital-a", "booting", reason="waits for its certificate")
    with pytest.raises(NodeFailed) as error:
        wait_until(everybody, is_ready, what="ready", timeout_seconds=0)
    assert str(error.value).splitlines() == [
        "Not ready after 0 s: hospital-a is booting (waits for its certificate); hospital-b is silent.",
        "  Its log: federate logs hospital-a hospital-b. The same command goes on waiting.",
    ]


@pytest.mark.usefixtures("no_pause")
def test_a_failure_from_before_does_not_count_where_the_caller_knows_better(
    by_id: Nodes, accounts: FakeParameters
) -> None:
    accounts.says("hospital-a", "failed", run="old")
    looks = itertools.count()

    def meanwhile() -> None:
        if next(looks):
            accounts.says("hospital-a", "ready", run="new")

    wait_until(
        [by_id["hospital-a"]],
        is_ready,
        what="ready",
        timeout_seconds=60,
        has_failed=lambda _, report: report.state is NodeState.FAILED and report.run == "new",
        meanwhile=meanwhile,
    )


@pytest.mark.usefixtures("no_pause")
def test_an_account_that_refuses_is_told_and_not_waited_for(
    everybody: tuple[Remote, ...], accounts: FakeParameters
) -> None:
    accounts.refused.add("hospital-b")
    with pytest.raises(AwsRefused, match="hospital-b, account 222222222222, profile hospital-b"):
        wait_until(everybody, is_ready, what="ready", timeout_seconds=60)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", '{"state": "dancing"}', '{"reason": "x"}', '{"state": []}']
)
def test_what_is_no_state_counts_as_a_failure_of_the_node(text: str) -> None:
    report = Report.read(text)
    assert report.state is NodeState.FAILED
    assert "published what is not a state" in report.reason


def test_a_state_is_read_as_far_as_it_says_something() -> None:
    assert Report.read(None) == Report(None)
    assert Report.read('{"state": "ready"}') == Report(NodeState.READY)
    assert Report.read('{"state": "running", "progress": [1], "run": null}') == Report(NodeState.RUNNING)
    script = '{"state": "failed", "reason": "the machine image has no agent"}'  # as the user data's script says it
    assert Report.read(script) == Report(NodeState.FAILED, "the machine image has no agent")
