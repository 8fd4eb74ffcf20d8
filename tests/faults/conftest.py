"""Fixtures that harm federations, and the table of what came of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_HELPERS = Path(__file__).parents[1] / "helpers"
sys.path[:0] = [str(_HELPERS), str(_HELPERS / "plugins")]

import fault_table  # noqa: E402
from fault_federation import FaultFederation  # noqa: E402
from fault_running import Running  # noqa: E402

Make = Callable[..., FaultFederation]


@pytest.fixture
def make_federation(tmp_path: Path) -> Iterator[Make]:
    """Return what makes federations; afterwards none of their processes may be left, and those that are must end."""
    made: list[FaultFederation] = []

    def make(*args: Any, **settings: Any) -> FaultFederation:
        federation = FaultFederation(tmp_path / f"federation-{len(made)}", *args, **settings)
        made.append(federation)
        return federation

    yield make
    for federation in made:
        federation.end()
    assert [process for federation in made for process in federation.left_behind()] == []


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("running"))
    yield running
    running.end()
    assert running.federation.left_behind() == []


@pytest.fixture
def running(_shared: Running) -> Running:
    """Return a federation of three that runs well: all have just answered, and every way is free."""
    _shared.make_well()
    return _shared


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> fault_table.Tell:
    """Return what adds a line to the table: a fault, what came of it, how long that took, and figures."""
    return fault_table.teller(request.node)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    fault_table.write(terminalreporter, terminalreporter.config.rootpath / "build" / "faults")
