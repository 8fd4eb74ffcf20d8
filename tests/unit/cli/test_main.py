"""What a command says where the machine does not do its part."""

from __future__ import annotations

import errno

import pytest

from infra.cli import main as cli


def test_a_full_disk_is_told_as_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cli, "app", full)

    assert cli.main(["status"]) == 4
    assert "The disk is full." in capsys.readouterr().err
