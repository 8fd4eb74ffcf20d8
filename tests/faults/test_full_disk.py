"""The disk is full when a checkpoint is due: the server says which file and what to do; freed, it goes on unharmed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from fault_federation import FaultFederation
from fault_table import Tell
from fl_processes import wait_until
from small_disk import SmallDisk

pytestmark = [pytest.mark.faults, pytest.mark.integration]
Make = Callable[..., FaultFederation]

ROUNDS = 6


def disk_over(folder: Path, *, kib: int) -> SmallDisk:
    folder.mkdir(exist_ok=True)
    try:
        return SmallDisk(folder, kib=kib)
    except OSError as error:
        pytest.skip(str(error))


def test_a_disk_that_is_full_when_a_checkpoint_is_due(make_federation: Make, tell: Tell) -> None:
    undisturbed = make_federation(rounds=ROUNDS)
    undisturbed.start_all()
    expected = undisturbed.finish()

    run = make_federation(rounds=ROUNDS, pause=0.1)
    disk = disk_over(run.state("aggregator") / "checkpoints", kib=64)
    run.prefixes["aggregator"] = disk.prefix
    run.start_all()
    wait_until(lambda: run.round >= 2, seconds=120, what="round 2")
    disk.fill()
    assert run.exit_code("aggregator", 60) == 2, run.log("aggregator")
    log = run.log("aggregator")
    assert "Traceback" not in log
    assert "state/checkpoints/0000000" in log
    assert ".checkpoint cannot be written: No space left on device." in log
    assert "Free space or mend the volume, and start again." in log
    assert all(run.runs(site) for site in run.sites)
    disk.free()
    run.start("aggregator")
    resumed = run.wait_until_open()
    assert "is damaged" not in run.log("aggregator")
    assert run.finish() == expected
    assert [record["round"] for record in run.rounds()] == list(range(ROUNDS))
    disk.close()
    tell(
        "full disk at a checkpoint",
        "the server ends with 2, file and remedy named; with space again it resumes to the same model",
        seconds=resumed.seconds,
    )


def test_a_disk_that_is_full_when_a_message_is_to_be_recorded(make_federation: Make, tell: Tell) -> None:
    run = make_federation(rounds=10_000, pause=0.1, quorum=2, round_deadline_seconds=2.0)
    disks = {node: disk_over(run.state(node), kib=4096) for node in ("site-a", "aggregator")}
    run.prefixes = {node: disk.prefix for node, disk in disks.items()}
    run.start_all()
    for node, disk in disks.items():
        wait_until(lambda began=run.round: run.round >= began + 2, seconds=120, what="two rounds")
        disk.fill()
        assert run.exit_code(node, 60) == 2, run.log(node)
        log = run.log(node)
        assert "Traceback" not in log
        assert f"fl_app {'server' if node == 'aggregator' else 'client'}: {run.state(node)}/" in log
        assert "cannot be written: No space left on device." in log
        assert "Free space" in log
        disk.free()
        run.start(node)
        began = run.round
        is_back = partial(has_answered, run, "site-a", since=began + 1)
        wait_until(is_back, seconds=120, what=f"a round with {node} again")
        tell(f"full disk when {node} is to record a message", "it ends with 2, file named; with space again it is back")
    run.end()
    for disk in disks.values():
        disk.close()


def has_answered(run: FaultFederation, site: str, *, since: int) -> bool:
    return any(record["round"] >= since and site in record["answered"] for record in run.rounds())
