"""A visit to one account, whose answers each test gives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from small_visit import federation
from stubbed_aws import StubbedAccounts

from infra.federation.derive import nodes
from infra.preflight.check import Visit
from stacks.plan import StackPlan

NewVisit = Callable[..., Visit]


@pytest.fixture
def aws() -> Iterator[StubbedAccounts]:
    accounts = StubbedAccounts()
    yield accounts
    accounts.end()


@pytest.fixture
def visit(aws: StubbedAccounts) -> NewVisit:
    """Return a visit to the site's account, or with ``hub=True`` to the aggregator's; other words change the site."""

    def make(
        *, to_hub: bool = False, stacks: tuple[StackPlan, ...] = (), resources: tuple[Any, ...] = (), **changes: Any
    ) -> Visit:
        fed = federation(**changes)
        return Visit(fed, (nodes(fed)[0 if to_hub else 1],), aws, stacks, resources)

    return make
