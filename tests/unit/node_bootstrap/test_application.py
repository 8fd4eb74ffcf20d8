"""The application as the agent runs it: which code, in which environment, how it is ended, and what it says."""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_node import FakeAccount

from node_bootstrap.agent.application import Application, Folders, progress_of
from node_bootstrap.agent.application_log import ApplicationLog
from node_bootstrap.agent.logs import Shipper

Run = Callable[..., Application]
DEADLINE_SECONDS = 20


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Run a script as the release's application."""
    made: list[Application] = []

    def start(script: str, role: str = "client", log: ApplicationLog | None = None) -> Application:
        code = tmp_path / "code"
        (code / "fl_app").mkdir(parents=True, exist_ok=True)
        (code / "fl_app" / "__init__.py").touch()
        (code / "fl_app" / "__main__.py").write_text(script)
        folders = Folders(*(tmp_path / name for name in ("config", "data", "state", "output")))
        log = log or ApplicationLog(tmp_path / "application.log")
        made.append(Application(role, code, folders, log, start="the start"))
        return made[-1]

    yield start
    for application in made:
        application.stop(0)


def end_of(application: Application) -> int:
    """Wait for its end and return the exit code."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (code := application.exit_code()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return code


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_is_the_releases_code_with_the_nodes_folders(run: Run, tmp_path: Path) -> None:
    told = "import json, pathlib, sys; pathlib.Path('told').write_text(json.dumps([sys.argv[1:], __file__]))"
    assert end_of(run(told)) == 0
    arguments, code = json.loads((tmp_path / "output" / "told").read_text())
    folders = [part for name in ("config", "data", "state", "output") for part in (f"--{name}", str(tmp_path / name))]
    assert arguments == ["client", *folders, "--start", "the start"]
    assert code == str(tmp_path / "code" / "fl_app" / "__main__.py")


def test_an_aggregator_runs_the_server(run: Run, tmp_path: Path) -> None:
    assert end_of(run("import sys; print(sys.argv[1])", role="aggregator")) == 0
    assert (tmp_path / "application.log").read_text() == "server\n"


def test_nothing_in_its_environment_opens_the_account(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "KEPT"):
        monkeypatch.setenv(name, "x")
    assert end_of(run("import os; print(*sorted(os.environ))")) == 0
    names = (tmp_path / "application.log").read_text().split()
    assert "KEPT" in names
    assert [name for name in names if name.startswith("AWS_")] == []


def test_it_is_asked_to_end_in_order(run: Run, tmp_path: Path) -> None:
    application = run(
        "import pathlib, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('in order'), sys.exit(130)))\n"
        "pathlib.Path('ready').touch()\nsignal.pause()\n"
    )
    wait_for(tmp_path / "output" / "ready")
    application.stop()
    assert application.exit_code() == 130
    assert application.last_words() == "in order"


def test_what_does_not_end_is_killed(run: Run, tmp_path: Path) -> None:
    application = run(
        "import pathlib, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path('ready').touch()\ntime.sleep(60)\n"
    )
    wait_for(tmp_path / "output" / "ready")
    application.stop(0.05)
    assert application.exit_code() == -signal.SIGKILL
    application.stop(0.05)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("", "it said nothing"),
        ("print('  \\n')", "it said nothing"),
        ("print('one'); print('two')", "two"),
        ("print('fl_app client: No data.\\n  Put it there.')", "No data. Put it there."),
        ("print('before\\nfl_app client: First.\\nfl_app client: Last.')", "Last."),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe\\n')", "\ufffd\ufffd"),
        ("print('x' * 5000)", "x" * 600),
    ],
)
def test_its_last_words_are_its_error_or_its_last_line(run: Run, script: str, words: str) -> None:
    application = run(script)
    end_of(application)
    assert application.last_words() == words


def test_its_last_words_are_not_those_of_the_one_before(run: Run) -> None:
    end_of(run("print('fl_app client: The first failed.')"))
    second = run("print('all is well')")
    end_of(second)
    assert second.last_words() == "all is well"


def test_its_log_is_begun_anew_while_it_speaks_and_every_line_arrives_once(
    run: Run, tmp_path: Path, account: FakeAccount
) -> None:
    log = ApplicationLog(tmp_path / "application.log", bound=1000)
    shipper = Shipper(account, "hospital-a", log)
    application = run("for number in range(3000): print('line', number)", log=log)
    while application.exit_code() is None:
        shipper.ship()
    shipper.ship()
    assert account.lines["hospital-a/application"] == [f"line {number}" for number in range(3000)]
    assert (tmp_path / "application.log.1").exists()


def test_what_cannot_be_written_is_told_once_and_holds_nobody_up(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    full = ApplicationLog(tmp_path / "is not there" / "application.log")
    with caplog.at_level(logging.ERROR):
        application = run("for _ in range(20000): print('a line that nobody keeps')\nprint('done')", log=full)
        assert end_of(application) == 0
    assert application.last_words() == "done"
    assert caplog.text.count("cannot be written here, and is lost") == 1


def test_what_it_started_and_left_behind_does_not_hold_up_its_end(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node_bootstrap.agent.application._LISTENING_SECONDS", 0.05)
    application = run(
        "import pathlib, subprocess\nchild = subprocess.Popen(['sleep', '60'])\n"
        "pathlib.Path('child').write_text(str(child.pid))\nprint('done')\n"
    )
    try:
        assert end_of(application) == 0
        assert application.last_words() == "done"
    finally:
        os.kill(int((tmp_path / "output" / "child").read_text()), signal.SIGKILL)


def test_how_far_the_one_before_had_come_is_not_how_far_this_one_is(run: Run, tmp_path: Path) -> None:
    told = "import pathlib; pathlib.Path('progress.json').write_text('{\"round\": 2}')"
    first = run(told)
    end_of(first)
    assert first.progress() == {"round": 2}
    assert run("").progress() == {}


def test_progress_has_the_metrics_of_the_last_whole_record(tmp_path: Path) -> None:
    assert progress_of(tmp_path) == {}
    told = {"round": 2, "rounds": 3, "phase": "training", "waiting_for": ["hospital-a"]}
    (tmp_path / "progress.json").write_text(json.dumps(told))
    assert progress_of(tmp_path) == told
    records = [
        {"federated": {"auroc": 0.5, "auprc": 0.1, "test_loss": 0.7}},
        {"federated": {"auroc": 0.75, "auprc": None, "test_loss": 0.6}},
    ]
    (tmp_path / "rounds.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records) + '{"feder')
    assert progress_of(tmp_path) == {**told, "metrics": {"auroc": 0.75, "loss": 0.6}}


def test_a_sites_own_records_have_their_metrics_at_the_top(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text('{"round": 1}')
    (tmp_path / "rounds.jsonl").write_text('{"auroc": 0.123456789, "auprc": 0.25, "test_loss": 1}\n')
    assert progress_of(tmp_path) == {"round": 1, "metrics": {"auroc": 0.123457, "auprc": 0.25, "loss": 1}}


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "7", "\ufffd"])
def test_progress_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "progress.json").write_text(content)
    (tmp_path / "rounds.jsonl").write_text('{"auroc": 1}\n')
    assert progress_of(tmp_path) == {}


@pytest.mark.parametrize("lines", ["", "\n", "{\n", "[]\n", '{"federated": []}\n', '{"auroc": "x"}\n'])
def test_records_that_cannot_be_read_have_no_metrics(tmp_path: Path, lines: str) -> None:
    (tmp_path / "progress.json").write_text('{"round": 1}')
    (tmp_path / "rounds.jsonl").write_text(lines)
    assert progress_of(tmp_path) == {"round": 1}


def test_a_cancelled_aggregator_is_told_by_a_signal_of_its_own_and_a_site_is_stopped(run: Run, tmp_path: Path) -> None:
    script = """
import pathlib, signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(5))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
pathlib.Path("up").touch()
time.sleep(60)
"""
    for role, code in (("aggregator", 5), ("client", 130)):
        (tmp_path / "output" / "up").unlink(missing_ok=True)
        application = run(script, role)
        wait_for(tmp_path / "output" / "up")
        application.cancel()
        assert application.exit_code() == code
