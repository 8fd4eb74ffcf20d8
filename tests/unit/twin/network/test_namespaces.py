"""Errors of the tools that make namespaces, in their own words; nothing is made here."""

from __future__ import annotations

import pytest

from infra.local.twin.network import namespaces
from infra.local.twin.network.namespaces import NetworkRefused


def test_a_namespace_that_is_not_there_cannot_be_entered() -> None:
    with pytest.raises(NetworkRefused, match=r"enter the namespace no-such-namespace\n.*No such file"):
        namespaces.call("no-such-namespace", lambda: None)
    assert not namespaces.exists("no-such-namespace")


def test_a_tool_that_is_not_installed_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(NetworkRefused, match="install the package iproute2"):
        namespaces.ip(["link show"])


def test_nothing_to_do_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    namespaces.ip([])
    namespaces.create([])
    namespaces.delete([])
