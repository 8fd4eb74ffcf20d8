"""``federate add-site`` and ``remove-site``: files that cannot be read or written, and what a new site takes over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.cli import sites
from infra.cli.main import main
from infra.handover.others import Comparison

FEDERATION = """\
name: fed
region: us-east-1
images: {us-east-1: ami-0123456789abcdef0}
aggregator: {account: "333333333333", profile: aggregator, cidr: 10.30.0.0/16}
participants:
  - id: hospital-a
    account: "111111111111"
    profile: hospital-a
    cidr: 10.10.0.0/16
    instance_type: g5.xlarge
    spot: true
    bucket: hospital-a-research
    bucket_prefix: federate/
    kms_key: arn:aws:kms:us-east-1:111111111111:key/01234567-89ab-cdef-0123-456789abcdef
    alarm_email: it@hospital-a.example
    permissions_boundary: hospital-a-boundary
"""
ADD = ("add-site", "hospital-c", "--account", "444444444444")
COMMANDS = [ADD, ("remove-site", "hospital-a", "--yes")]


@pytest.fixture(autouse=True)
def nothing_is_synthesised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FEDERATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sites, "_proven", lambda *_: Comparison((), (), (), ()))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "federation.yaml"
    path.write_text(FEDERATION)
    return path


def test_a_site_that_is_like_another_takes_over_hardware_and_nothing_that_is_the_other_account_s(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-f", str(file), "--json", *ADD, "--like", "hospital-a"]) == 0
    added = [line[1:].strip() for line in json.loads(capsys.readouterr().out)["diff"].splitlines() if line[:1] == "+"]
    assert {line.lstrip("- ").partition(":")[0] for line in added if ":" in line} == {
        *("id", "account", "operated_by", "cidr"),
        *("instance_type", "spot"),
    }


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "there is no such file"), (b"\xff\xfe", "is not UTF-8 text"), (b"[", "federation.yaml:")],
)
def test_a_file_that_is_no_federation_is_refused_as_by_every_command(
    file: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], content: bytes | None, said: str
) -> None:
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    assert main(["-f", str(file), *command]) == 2
    assert said in capsys.readouterr().err


def test_a_file_that_cannot_be_changed_is_named(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: Path, *_: str) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_text", read_only)
    assert main(["-f", str(file), *ADD]) == 2
    assert "cannot be changed: Permission denied" in capsys.readouterr().err
    assert file.read_bytes() == FEDERATION.encode()


def test_line_ends_of_another_system_stay(file: Path) -> None:
    file.write_bytes(FEDERATION.replace("\n", "\r\n").encode())
    assert main(["-f", str(file), *ADD]) == 0
    assert file.read_bytes().startswith(FEDERATION.replace("\n", "\r\n").encode())
