"""What the machine shows is read as the kernel and the driver document it, and what cannot be read is not there."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from fake_node import facts

from infra.federation.derive import Node
from infra.identity import Authority
from node_bootstrap import measures
from node_bootstrap.agent import readings
from node_bootstrap.agent.identity import Identity

STAT = "cpu  {user} 0 100 {idle} {waits} 0 0 0 0 0\ncpu0 1 2 3 4\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    folder = tmp_path / "proc"
    folder.mkdir()
    return folder


def test_processors_are_as_busy_as_their_time_between_two_looks(proc: Path) -> None:
    (proc / "stat").write_text(STAT.format(user=100, idle=800, waits=0))
    processors = readings.Processors(proc)
    assert processors.used() == {}  # no time has passed
    (proc / "stat").write_text(STAT.format(user=130, idle=850, waits=20))
    assert processors.used() == {measures.CPU: pytest.approx(30.0)}  # 30 of 100 ticks


def test_memory_that_can_be_had_is_not_used(proc: Path) -> None:
    (proc / "meminfo").write_text("MemTotal:  1000 kB\nMemFree: 100 kB\nMemAvailable:  250 kB\n")
    assert readings.memory(proc) == {measures.MEMORY: pytest.approx(75.0)}


def test_disks_are_as_full_as_df_says(tmp_path: Path) -> None:
    told = subprocess.run(["df", "--output=pcent", tmp_path], capture_output=True, text=True, check=True).stdout
    percent = float(told.split()[1].rstrip("%"))  # df rounds up
    assert percent - 1 <= readings.disk(measures.ROOT_DISK, tmp_path)[measures.ROOT_DISK] <= percent


def test_two_gpus_are_as_busy_as_their_mean_and_as_full_as_the_fuller(proc: Path) -> None:
    found = readings.gpus(lambda: "20, 1000, 16000\n60, 4000, 16000\n")
    assert found == {measures.GPU: 40.0, measures.GPU_MEMORY: 25.0}


@pytest.mark.parametrize("told", ["", "[N/A], [N/A], [N/A]\n", "No devices were found\n", "1, 2, 0\n"])
def test_a_gpu_that_says_nothing_is_not_an_idle_gpu(told: str) -> None:
    assert readings.gpus(lambda: told) == {}


def test_without_the_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert readings.gpus() == {}


def test_what_cannot_be_read_is_not_there(proc: Path) -> None:
    (proc / "meminfo").write_text("MemTotal: what\n")
    assert readings.memory(proc) == readings.Processors(proc).used() == {}
    assert readings.disk(measures.ROOT_DISK, proc / "nowhere") == {}
    assert readings.days_left(measures.CERTIFICATE_DAYS, proc / "nowhere.pem", readings.utc_now) == {}
    (proc / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    assert readings.days_left(measures.CERTIFICATE_DAYS, proc / "broken.pem", readings.utc_now) == {}


def test_a_certificate_has_the_days_left_that_it_was_given(
    authority: Authority, all_nodes: dict[str, Node], tmp_path: Path
) -> None:
    identity = Identity(tmp_path / "tls", facts())
    signed = authority.sign(identity.request().encode(), all_nodes["hospital-a"], days=90).decode()
    identity.install(signed, authority.pem.decode())
    path = tmp_path / "tls" / "certificate.pem"

    def left(later: timedelta) -> float:
        now = readings.utc_now() + later
        return readings.days_left(measures.CERTIFICATE_DAYS, path, lambda: now)[measures.CERTIFICATE_DAYS]

    assert left(timedelta()) == pytest.approx(90, abs=0.01)
    assert left(timedelta(days=91)) == pytest.approx(-1, abs=0.01)
