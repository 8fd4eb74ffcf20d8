"""The audit log: what is appended holds together, what is changed is found, and a crash does not end it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from authority import Authority

from fl_app.errors import StateError
from fl_app.transport.audit import FILE, HEAD, AuditLog
from fl_app.transport.identity import Credentials, load_credentials
from fl_app.transport.wire import Envelope, encode_header
from infra.cli.audit import verdict
from infra.cli.main import main

HEADER = encode_header(Envelope("finish", "aggregator", "site-a", {"run": "r", "outcome": "done"}))


@pytest.fixture
def credentials(tmp_path: Path, authority: Authority) -> Credentials:
    folder = authority.issue(tmp_path / "tls", "site-a")
    return load_credentials(folder, federation="test", role="client", node="site-a")


def write(folder: Path, credentials: Credentials, lines: int = 5) -> Path:
    log = AuditLog(folder, credentials)
    log.open()
    for number in range(lines):
        log.sent("aggregator", HEADER, number, f"{number:064x}")
    log.close()
    return folder / FILE


@pytest.fixture
def log(tmp_path: Path, credentials: Credentials) -> Iterator[Path]:
    return write(tmp_path / "state", credentials)  # type: ignore[return-value]


def test_a_log_that_nobody_touched_is_good_and_says_what_it_holds(
    log: Path, tmp_path: Path, authority: Authority
) -> None:
    (tmp_path / "authority.pem").write_bytes(authority.pem)
    found = verdict(log, tmp_path / "authority.pem")
    assert (found.faults, found.notices) == ([], [])
    assert (found.lines, found.anchored, found.sent, found.node) == (5, 5, 5, "site-a")
    entry = json.loads(log.read_bytes().splitlines()[1])
    assert (entry["direction"], entry["peer"], entry["kind"], entry["run"]) == ("sent", "aggregator", "finish", "r")
    assert (entry["bytes"], entry["sha256"]) == (len(HEADER) + 1, f"{1:064x}")


def swap(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lines: [lines[0].replace(b'"sent"', b'"lost"'), *lines[1:]], "line 1 was edited"),
        (lambda lines: [lines[0].replace(b'":', b'": ', 1), *lines[1:]], "line 1 was edited"),
        (lambda lines: [*lines[:2], *lines[3:]], "line 3 has the number 4"),
        (swap, "line 2 has the number 3"),
        (lambda lines: lines[:-1], "1 lines are missing at the end"),
        (lambda lines: [], "5 lines are missing at the end"),
        (lambda lines: [*lines[:-1], lines[-1][:-9]], "the last line is torn"),
        (lambda lines: [*lines, lines[-1]], "line 6 has the number 5"),
        (lambda lines: lines[1:], "line 1 has the number 2"),
    ],
    ids=["edited", "spaced", "gap", "reordered", "cut", "emptied", "torn", "repeated", "begun later"],
)
def test_whatever_is_changed_is_found_and_the_node_does_not_go_on_with_it(
    log: Path, credentials: Credentials, change: Callable[[list[bytes]], list[bytes]], reason: str
) -> None:
    log.write_bytes(b"".join(change(log.read_bytes().splitlines(keepends=True))))
    assert any(reason in fault for fault in verdict(log).faults)
    with pytest.raises(StateError, match="was changed by somebody else"):
        AuditLog(log.parent, credentials).open()


def test_lines_that_were_cut_and_a_head_that_was_made_to_fit_are_found(log: Path) -> None:
    kept = log.read_bytes().splitlines(keepends=True)[:3]
    log.write_bytes(b"".join(kept))
    head = json.loads((log.parent / HEAD).read_text())
    head |= {"records": 3, "hash": json.loads(kept[-1])["hash"]}
    (log.parent / HEAD).write_text(json.dumps(head))
    assert verdict(log).faults == [f"{HEAD} was edited: its signature does not hold"]


def test_a_log_that_another_s_key_signed_is_found(log: Path, tmp_path: Path, authority: Authority) -> None:
    stranger = Authority()
    folder = stranger.issue(tmp_path / "other", "site-a")
    write(tmp_path / "forged", load_credentials(folder, federation="test", role="client", node="site-a"))
    (tmp_path / "authority.pem").write_bytes(authority.pem)
    found = verdict(tmp_path / "forged" / FILE, tmp_path / "authority.pem")
    assert found.faults == [f"{HEAD} was edited: its certificate is not of this authority"]


def test_a_log_goes_on_after_a_restart_and_with_a_new_key(
    log: Path, credentials: Credentials, tmp_path: Path, authority: Authority
) -> None:
    write(log.parent, credentials)
    folder = authority.issue(tmp_path / "tls-2", "site-a")
    write(log.parent, load_credentials(folder, federation="test", role="client", node="site-a"))
    found = verdict(log)
    assert (found.faults, found.lines) == ([], 15)


def test_a_line_that_a_crash_has_torn_is_cut_off_and_that_is_recorded(log: Path, credentials: Credentials) -> None:
    with log.open("ab") as file:
        file.write(b'{"n":6,"time":"2026')
    write(log.parent, credentials, lines=1)
    found = verdict(log)
    assert (found.faults, found.lines, found.other) == ([], 7, 1)
    assert json.loads(log.read_bytes().splitlines()[5])["direction"] == "torn"


def test_a_line_that_a_full_disk_cuts_short_is_an_error_and_the_log_goes_on_whole(
    log: Path, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, told = os.write, []
    found = AuditLog(log.parent, credentials)
    found.tell(told.append)
    found.open()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: written(file, data[:50]))
        with pytest.raises(StateError, match="No space left on device"):
            found.sent("aggregator", HEADER, 1, "0" * 64)
    assert [type(error) for error in told] == [StateError]
    found.sent("aggregator", HEADER, 2, "0" * 64)
    found.close()
    write(log.parent, credentials, lines=1)
    assert (verdict(log).faults, verdict(log).lines) == ([], 7)


def test_two_processes_do_not_write_one_log(log: Path, credentials: Credentials) -> None:
    first = AuditLog(log.parent, credentials)
    first.open()
    with pytest.raises(StateError, match="is in use"):
        AuditLog(log.parent, credentials).open()
    first.close()


def test_the_command_ends_with_0_or_1_and_answers_in_json(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "verify", str(log), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["good"] is True
    log.write_bytes(log.read_bytes().replace(b'"sent"', b'"lost"', 1))
    assert main(["audit", "verify", str(log)]) == 1
    assert "NOT as it was written\n  line 1 was edited" in capsys.readouterr().out
    assert main(["--json", "audit", "verify", str(log)]) == 1
    assert json.loads(capsys.readouterr().out)["good"] is False
    assert main(["audit", "verify", str(log.parent / "none")]) == 2
