"""The emulator outlives the command that started it, is found again, and only ours is ever ended."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

import infra.local.session as session
from infra.federation.model import Aggregator, Federation, Participant
from infra.local import process
from infra.local.twin.depth import Depth
from infra.local.twin.life import Twin

DEADLINE_SECONDS = 30


def federation(*accounts: str) -> Federation:
    """Return a federation of an aggregator and these participants' accounts."""
    return Federation(
        name="test",
        region="us-east-1",
        aggregator=Aggregator(account="333333333333", profile="aggregator", cidr="10.30.0.0/16"),
        participants=tuple(
            Participant(id=f"site-{account[0]}", account=account, profile=f"site-{account[0]}", cidr=f"10.{n}.0.0/16")
            for n, account in enumerate(accounts, start=1)
        ),
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own, without a twin; whatever was started is ended."""
    monkeypatch.setenv("FEDERATE_HOME", str(tmp_path))
    monkeypatch.delenv("FEDERATE_LOCAL_PORT", raising=False)
    monkeypatch.setattr(session, "twin", Recorder())
    yield tmp_path
    session.down()


def test_up_is_idempotent_knows_the_profiles_and_takes_a_new_participant(home: Path) -> None:
    environment = session.ensure_up(federation("111111111111"))
    first = session.status()
    assert first["accounts"] == ["333333333333", "111111111111"]
    again = session.ensure_up(federation("111111111111", "222222222222"))
    assert (again["AWS_ENDPOINT_URL"], session.status()["pid"]) == (environment["AWS_ENDPOINT_URL"], first["pid"])
    told = subprocess.run(
        [sys.executable, "-c", _WHO],
        env={"PATH": os.environ["PATH"], "HOME": str(home), **again},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["333333333333", "111111111111", "222222222222"]
    assert (Path(again["AWS_SHARED_CREDENTIALS_FILE"]).stat().st_mode & 0o777) == 0o600


_WHO = """
import boto3
for profile in ("aggregator", "site-1", "site-2"):
    session = boto3.Session(profile_name=profile)
    assert session.region_name == "us-east-1"
    print(session.client("sts").get_caller_identity()["Account"])
"""


def test_neither_a_proxy_nor_a_profile_of_the_user_comes_between(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    environment = session.ensure_up(federation("111111111111"))
    assert environment["NO_PROXY"] == "example.org,127.0.0.1"
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stacks = boto3.Session(profile_name="site-1").client("cloudformation").describe_stacks()
    assert stacks["Stacks"] == []


def test_it_listens_on_loopback_only(home: Path) -> None:
    port = int(session.ensure_up(federation("111111111111"))["AWS_ENDPOINT_URL"].rsplit(":", 1)[1])
    outside = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in outside - {"127.0.0.1"}:
        with socket.socket() as probe:
            probe.settimeout(2)
            assert probe.connect_ex((address, port)) != 0


def test_after_a_kill_the_next_start_says_that_all_is_gone_and_starts_fresh(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = session.ensure_up(federation("111111111111"))
    _ssm(environment).put_parameter(Name="/kept", Value="x", Type="String")
    pid = session.status()["pid"]
    os.kill(pid, signal.SIGKILL)
    began = json.loads((home / "local/state.json").read_text())["began"]
    wait_until(lambda: not process.is_running(pid, began))
    assert session.status()["up"] is False
    fresh = session.ensure_up(federation("111111111111"))
    assert "everything that was deployed into it" in capsys.readouterr().err
    assert _ssm(fresh).describe_parameters()["Parameters"] == []


def _ssm(environment: dict[str, str]) -> Any:
    return boto3.client(
        "ssm",
        region_name="us-east-1",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id="AKIAEMUL111111111111",
        aws_secret_access_key="any",
    )


def test_down_ends_the_emulator_and_is_no_error_twice(home: Path) -> None:
    session.ensure_up(federation("111111111111"))
    state = json.loads((home / "local/state.json").read_text())
    session.down()
    assert not process.is_running(state["pid"], state["began"])
    session.down()
    assert session.status()["up"] is False


def test_a_process_that_took_over_the_number_is_never_ended(home: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        recorded = {"pid": stranger.pid, "began": "another time", "port": 1, "federation": "test"}
        (home / "local").mkdir()
        (home / "local/state.json").write_text(json.dumps(recorded))
        assert session.status()["up"] is False
        session.down()
        assert stranger.poll() is None
        process.end(stranger.pid, process.started_at(stranger.pid) or "")
        wait_until(lambda: stranger.poll() is not None)
    finally:
        stranger.kill()
        stranger.communicate()


def test_a_taken_port_is_named_with_the_remedy(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("FEDERATE_LOCAL_PORT", str(port))
        with pytest.raises(session.PortTaken) as refused:
            session.ensure_up(federation("111111111111"))
    assert f"Port {port}" in str(refused.value)
    assert "unset FEDERATE_LOCAL_PORT" in str(refused.value)
    assert not (home / "local/state.json").exists()


@pytest.mark.parametrize("value", ["http", "70000", "-1"])
def test_a_port_that_is_none_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FEDERATE_LOCAL_PORT", value)
    with pytest.raises(session.PortTaken, match="a port is a number up to 65535"):
        session.ensure_up(federation("111111111111"))


def test_an_emulator_that_cannot_start_says_where_its_log_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSTARTUP", "")
    monkeypatch.setattr(session.sys, "executable", _failing_python(home))
    with pytest.raises(session.NotReady) as refused:
        session.ensure_up(federation("111111111111"))
    assert "no module today" in str(refused.value)
    assert "aws.log" in str(refused.value)
    assert session.status()["up"] is False


def test_an_emulator_that_nobody_wrote_down_is_ended_as_well(home: Path) -> None:
    session.ensure_up(federation("111111111111"))
    told = json.loads((home / "local/state.json").read_text())
    (home / "local/state.json").unlink()  # as if the command had been killed before it could write it
    session.down()
    assert not process.is_running(told["pid"], told["began"])


class Recorder:
    """A twin that notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def start(self, env: dict[str, str], federation: Federation, depth: Depth | None) -> Twin:
        self.asked.append(("start", env["AWS_ENDPOINT_URL"]))
        return Twin(1, "", Depth.PROCESSES, 0)

    def stop(self) -> None:
        self.asked.append(("stop", ""))

    def status(self) -> dict[str, Any]:
        return {"depth": "processes"}


def test_the_twin_lives_and_ends_with_the_emulator(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = Recorder()
    monkeypatch.setattr(session, "twin", twin)
    endpoint = session.ensure_up(federation("111111111111"))["AWS_ENDPOINT_URL"]
    assert session.status()["twin"] == {"depth": "processes"}
    session.down()
    assert twin.asked == [("start", endpoint), ("stop", "")]


def _failing_python(folder: Path) -> str:
    script = folder / "python"
    script.write_text("#!/bin/sh\necho no module today\nexit 1\n")
    script.chmod(0o700)
    return str(script)
