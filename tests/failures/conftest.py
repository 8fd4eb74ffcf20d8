"""One desk for all injected failures, and the table of what its user saw."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

_HELPERS = Path(__file__).parents[1] / "helpers"
sys.path[:0] = [str(_HELPERS), str(_HELPERS / "plugins")]

import failure_table  # noqa: E402
from failure_desk import CDK, FailureDesk  # noqa: E402
from marks import mark_integration  # noqa: E402
from needs import needs_cdk  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_integration(Path(__file__).parent, items)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FailureDesk]:
    """Return a desk of a module's own, with nothing deployed yet."""
    needs_cdk(CDK)
    made = FailureDesk(tmp_path_factory.mktemp("desk"))
    with closing(made):
        yield made


@pytest.fixture
def tell(request: pytest.FixtureRequest, desk: FailureDesk) -> failure_table.Tell:
    """Return what adds the test's row to the table."""
    return failure_table.teller(request.node, desk.folder)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    failure_table.finish(terminalreporter, terminalreporter.config.rootpath)
