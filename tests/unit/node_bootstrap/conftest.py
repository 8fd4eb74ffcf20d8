"""A node's account in memory, and the coordinator's real authority."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from fake_cloud import federation
from fake_node import FakeAccount

from infra.federation.derive import Node, nodes
from infra.identity import Authority


@pytest.fixture
def account() -> FakeAccount:
    return FakeAccount()


@pytest.fixture(scope="session")
def all_nodes() -> dict[str, Node]:
    return {node.id: node for node in nodes(federation())}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open(tmp_path / "identity", "fed")
