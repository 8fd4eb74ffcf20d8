"""Nodes come up: their requests are answered, and who fails or stays silent is named."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_node import FACTS, FakeAccount, facts
from fake_parameters import FakeParameters
from rich.console import Console

from infra.federation.model import Federation
from infra.identity import Authority
from infra.nodes.bring_up import make_ready
from infra.nodes.control import NodeFailed
from infra.nodes.remote import Remote
from infra.progress import LiveTable
from node_bootstrap import contract
from node_bootstrap.agent.loop import Loop

pytestmark = pytest.mark.usefixtures("no_pause")


@pytest.fixture
def shown() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def table(shown: io.StringIO) -> Iterator[LiveTable]:
    with LiveTable("test", ("given", "state"), console=Console(file=shown, width=1000)) as made:
        yield made


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open(tmp_path / "identity", "fed")


@pytest.fixture
def agents(accounts: FakeParameters, everybody: tuple[Remote, ...], tmp_path: Path) -> None:
    """The real agents of all nodes: each looks at its account whenever the operator does."""
    loops = []
    for remote in everybody:
        node = remote.node
        account = _Own(accounts, node.id)
        who = facts(node=node.id, role=node.role, parameter_prefix=node.parameter_prefix)
        loops.append(Loop(who, account, tmp_path / node.id / "root", tmp_path / node.id / "state"))

    alone = threading.Lock()

    def look() -> None:
        with alone:
            for loop in loops:
                loop.step()

    accounts.before_look = look


class _Own(FakeAccount):
    """A node's view of its own account's parameters."""

    def __init__(self, accounts: FakeParameters, node: str) -> None:
        super().__init__()
        self._accounts, self._prefix = accounts, f"/federate/fed/{node}/"
        self._node = node

    def parameters(self) -> dict[str, str]:
        return {name.removeprefix(self._prefix): value for name, value in self._accounts.of(self._node).items()}

    def publish(self, name: str, value: str) -> None:
        self._accounts.of(self._node)[f"{self._prefix}{name}"] = value


@pytest.mark.usefixtures("agents")
def test_all_nodes_get_their_certificates_and_are_ready(
    everybody: tuple[Remote, ...], fed: Federation, authority: Authority, table: LiveTable, shown: io.StringIO
) -> None:
    found = make_ready(everybody, fed, authority, table, timeout_seconds=60)
    assert {id_: report.state for id_, report in found.items()} == {
        "aggregator": "ready",
        "hospital-a": "ready",
        "hospital-b": "ready",
    }
    assert "hospital-b  state: ✓ ready" in shown.getvalue()


@pytest.mark.usefixtures("agents")
def test_without_the_coordinators_authority_a_node_has_come_up_when_it_asks(
    everybody: tuple[Remote, ...], fed: Federation, table: LiveTable, accounts: FakeParameters
) -> None:
    found = make_ready(everybody[1:2], fed, None, table, timeout_seconds=60)
    assert (found["hospital-a"].state, found["hospital-a"].reason) == ("booting", "waits for its certificate")
    assert accounts.told("hospital-a", contract.CERTIFICATE) is None
    assert "BEGIN CERTIFICATE REQUEST" in (accounts.told("hospital-a", contract.REQUEST) or "")


def test_a_node_that_cannot_come_up_is_told_with_its_reason(
    everybody: tuple[Remote, ...],
    fed: Federation,
    authority: Authority,
    table: LiveTable,
    accounts: FakeParameters,
    shown: io.StringIO,
) -> None:
    for node in ("aggregator", "hospital-b"):
        accounts.says(node, "ready")
    accounts.says("hospital-a", "failed", reason="the machine image has no agent")
    with pytest.raises(NodeFailed, match="hospital-a failed: the machine image has no agent"):
        make_ready(everybody, fed, authority, table, timeout_seconds=60)
    assert "hospital-a  state: ✗ failed: the machine image has no agent" in shown.getvalue()


def test_a_run_that_failed_before_is_no_obstacle(
    everybody: tuple[Remote, ...], fed: Federation, authority: Authority, table: LiveTable, accounts: FakeParameters
) -> None:
    for remote in everybody:
        accounts.says(remote.node.id, "failed", run="an-earlier-one", reason="No data.")
    assert len(make_ready(everybody, fed, authority, table, timeout_seconds=60)) == 3


def test_a_node_that_was_never_heard_of_is_late(
    everybody: tuple[Remote, ...], fed: Federation, authority: Authority, table: LiveTable, shown: io.StringIO
) -> None:
    with pytest.raises(NodeFailed, match="Not ready after 0 s: aggregator is silent; hospital-a is silent"):
        make_ready(everybody, fed, authority, table, timeout_seconds=0)
    assert "not heard of yet" in shown.getvalue()
    assert FACTS["node"] in shown.getvalue()
