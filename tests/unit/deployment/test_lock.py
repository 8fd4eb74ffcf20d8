"""Two commands never change one federation at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.deployment.lock import Busy, alone


def test_the_second_command_is_told_who_is_at_work_and_may_go_on_afterwards(tmp_path: Path) -> None:
    with alone(tmp_path, "fed", "deploy"):
        with pytest.raises(Busy, match=r"changing fed \(deploy, process \d+\)"), alone(tmp_path, "fed", "destroy"):
            pytest.fail("two at once")
        with alone(tmp_path, "other", "deploy"):
            pass
    with alone(tmp_path, "fed", "destroy"):
        pass
