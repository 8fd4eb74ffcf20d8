"""What a depth needs is said precisely, and nothing less is taken unasked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from infra.local.twin import depth
from infra.local.twin.depth import CannotGoSoDeep, Depth, UnknownDepth


def test_processes_run_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setenv("PATH", "")
    assert depth.missing(Depth.PROCESSES) == ()


def test_another_system_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    (lack,) = depth.missing(Depth.NETWORK)
    assert "needs Linux; this is darwin" in lack.what


def test_each_missing_command_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda tool, path=None: None)
    with pytest.raises(CannotGoSoDeep) as refused:
        depth.refuse_unless_possible(Depth.NETWORK)
    for tool, package in (("ip", "iproute2"), ("nft", "nftables")):
        assert f"The command {tool} is missing. Debian, Ubuntu: apt-get install {package}." in str(refused.value)
    assert "--or-processes" in refused.value.remedy


def test_machines_need_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "The depth machines needs root." in [lack.what for lack in depth.missing(Depth.MACHINES)]


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_what_the_kernel_refuses_is_told_in_its_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda tool, path=None: f"/bin/{tool}")
    monkeypatch.setattr(depth, "_MAKES_A_NETWORK", "echo Operation not permitted >&2; false")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    (lack,) = depth.missing(Depth.NETWORK)
    assert "Operation not permitted" in lack.what
    assert "unprivileged_userns_clone" in lack.remedy


def test_an_unknown_depth_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownDepth, match="processes, network, machines"):
        depth.parse("deep")
