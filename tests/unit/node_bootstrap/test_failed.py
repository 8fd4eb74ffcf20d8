"""A node that fails before it has an agent says why, and sends what was said before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_node import FACTS, FakeAccount

from node_bootstrap import failed, measures


@pytest.fixture
def facts(account: FakeAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the facts of a node whose units and user data have said something."""
    monkeypatch.setattr(failed, "Account", lambda _: account)
    monkeypatch.setattr(failed, "_JOURNAL", ("printf", "mounting\\nblkid ended with 8\\n"))
    (tmp_path / "cloud-init-output.log").write_text("user data began\n")
    monkeypatch.setattr(failed, "_CLOUD_INIT", tmp_path / "cloud-init-output.log")
    path = tmp_path / "node.json"
    path.write_text(json.dumps(FACTS))
    return path


def test_the_state_has_the_reason_and_the_log_what_was_said_before(facts: Path, account: FakeAccount) -> None:
    assert failed.main(["the state volume cannot be read"], facts) == 0
    assert account.state == {"state": "failed", "reason": "the state volume cannot be read"}
    assert account.lines["hospital-a/bootstrap"] == [
        "mounting",
        "blkid ended with 8",
        "user data began",
        "ERROR the state volume cannot be read",
    ]


def test_without_a_journal_the_reason_is_sent_all_the_same(
    facts: Path, account: FakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed, "_JOURNAL", ("federate-no-such-command",))
    assert failed.main(["no volume"], facts) == 0
    assert account.lines["hospital-a/bootstrap"][-1] == "ERROR no volume"


def test_a_reason_is_cut_to_what_a_parameter_holds(facts: Path, account: FakeAccount) -> None:
    assert failed.main(["x" * 5000], facts) == 0
    assert len(account.state["reason"]) == 1000


def test_an_account_that_does_not_answer_is_told_on_the_console(
    facts: Path, account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    account.silent = True
    assert failed.main(["no volume"], facts) == 1
    assert "the account does not answer" in capsys.readouterr().err


def test_without_facts_nothing_can_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert failed.main(["no volume"], tmp_path / "none.json") == 2
    assert "does not hold a node's facts" in capsys.readouterr().err


def test_the_metric_of_its_alarm_is_told_without_the_reason(facts: Path, account: FakeAccount) -> None:
    assert failed.main(["the state volume is damaged"], facts) == 0
    (line,) = account.lines[measures.stream("hospital-a")]
    told = json.loads(line)
    assert (told["BootstrapFailed"], told["federation"], told["node"]) == (1, "fed", "hospital-a")
    assert "volume" not in line  # the reason stays where it can be read with the account's rights
