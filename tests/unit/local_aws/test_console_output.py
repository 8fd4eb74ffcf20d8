"""The console of an instance is what its body writes, the end of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local.aws.additions.console_output import output_of


@pytest.mark.parametrize("file", ["machines/i-1/console.log", "nodes/i-1/agent.log"])
def test_what_a_body_writes_is_its_instances_console(file: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"power on\n")
    assert output_of("i-1", tmp_path) == b"power on\n"
    assert output_of("i-2", tmp_path) == b""


def test_the_end_of_a_long_console_is_kept(tmp_path: Path) -> None:
    (tmp_path / "nodes" / "i-1").mkdir(parents=True)
    (tmp_path / "nodes" / "i-1" / "agent.log").write_bytes(b"a" * 70_000 + b"the end")
    found = output_of("i-1", tmp_path)
    assert len(found) == 65_536  # as EC2 keeps
    assert found.endswith(b"the end")
