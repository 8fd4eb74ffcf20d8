"""The command's first moment: an interruption of it is told in words, and no code is shown."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import Any

import pytest

from infra.cli import __main__ as begin


def test_ctrl_c_while_the_code_is_read_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(MetaPathFinder):
        def find_spec(self, fullname: str, *_: Any) -> None:
            if fullname == "infra.cli.main":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "infra.cli.main", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    assert begin.main() == 130
    assert capsys.readouterr().err == "Stopped before anything was begun.\n"


def test_otherwise_the_command_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["federate", "nonsense"])
    assert begin.main() == 2
    assert "nonsense" in capsys.readouterr().err
