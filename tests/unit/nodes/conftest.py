"""A federation of two sites and its accounts' parameter stores in memory."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from fake_cloud import federation as small_federation
from fake_parameters import FakeParameters

from infra.federation.model import Federation
from infra.nodes import control
from infra.nodes.remote import Remote, remotes


@pytest.fixture
def fed() -> Federation:
    """The federation ``fed``: aggregator, hospital-a, hospital-b."""
    return small_federation()


@pytest.fixture
def accounts() -> FakeParameters:
    return FakeParameters()


@pytest.fixture
def everybody(fed: Federation, accounts: FakeParameters) -> tuple[Remote, ...]:
    return remotes(fed, accounts)


@pytest.fixture
def by_id(everybody: tuple[Remote, ...]) -> Mapping[str, Remote]:
    return {remote.node.id: remote for remote in everybody}


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let waiting look again at once."""
    monkeypatch.setattr(control, "_POLL_SECONDS", 0.0)
