"""Disks that are filled and freed, on real file systems."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

_HELPER = Path(__file__).parents[2] / "helpers" / "filled_disk.py"


def run(kind: str, folder: Path) -> dict[str, Any]:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    done = subprocess.run(
        ["unshare", *user, "--mount", "--propagation", "private", sys.executable, str(_HELPER), kind, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and "mount:" in done.stderr:
        reason = f"needs to mount {kind}: {done.stderr.strip().splitlines()[0]}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_full_disk_takes_nothing_until_it_is_freed(kind, tmp_path):
    found = run(kind, tmp_path)

    assert [found[when] for when in ("before", "filled", "freed")] == [True, False, True]
    assert found["left"] == []


def test_filling_a_disk_does_not_fill_the_one_that_its_image_lies_on(tmp_path):
    assert run("ext4", tmp_path)["image_bytes"] < 200 << 20  # of 4 GiB
