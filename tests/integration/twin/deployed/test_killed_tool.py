"""The tool is killed at random moments, and once ``down`` was said, nothing of the twin is left on the machine."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable

import pytest
from twin_desk import Remains, TwinDesk, eventually

#: The first half of a deployment makes the world, the last the nodes.
MOMENTS = 10
LONGEST_SECONDS = {"network": 14.0, "machines": 25.0}


def seconds(depth: str) -> list[float]:
    chance = random.Random(f"{depth} 6")
    return sorted(round(chance.uniform(0.3, LONGEST_SECONDS[depth]), 1) for _ in range(MOMENTS // 2))


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("depth", "after"), [(depth, after) for depth in ("network", "machines") for after in seconds(depth)]
)
def test_a_kill_at_a_random_moment_leaves_nothing_once_it_is_down(
    make_desk: Callable[..., TwinDesk], depth: str, after: float
) -> None:
    desk = make_desk(depth)
    tool = desk.begin("deploy")
    try:
        out, err = tool.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        os.kill(tool.pid, signal.SIGKILL)
        tool.communicate()
    else:
        assert tool.returncode == 0, out + err  # it was faster than that

    desk.run("local", "down")

    eventually(lambda: not desk.processes(), "the end of every process", seconds=30)
    assert Remains.now().of(desk) == []
    home = desk.folder / "home"
    left = {path.name for path in (home / "local" / "twin").iterdir()} if (home / "local" / "twin").is_dir() else set()
    assert left <= {"twin.log"}


def test_the_check_finds_what_is_there(make_desk: Callable[..., TwinDesk]) -> None:
    """Negative control: while a twin lives, its processes and files are found."""
    desk = make_desk("network")
    desk.run("local", "up")
    assert desk.processes("infra.local.twin")
    wanted = {"twin.json", "control.sock"}
    eventually(lambda: wanted <= {path.name for path in desk.twin.iterdir()}, "the twin's files")
