"""The real wandb package: written offline on the node, uploaded from the operator's side to a stand-in server."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from fl_processes import Federation

from infra.cli.wandb_sync import WandbSyncFailed, sync
from infra.federation.model import Wandb

from .conftest import REPOSITORY, WRITE_RUN, StandIn

pytestmark = pytest.mark.integration

KEY = "k" * 40
WANDB = Wandb(enabled=True, project="mortality", entity="a-team")
Write = Callable[[Path, Mapping[str, str]], Path]

#: As WRITE_RUN, but with W&B's own default mode: the negative control of the guard below.
WRITE_ONLINE = (
    """
import wandb
from fl_app.tracking import tracker
tracker._offline = lambda wandb, output: wandb.Settings(mode="online", root_dir=str(output), init_timeout=60)
"""
    + WRITE_RUN
)


@contextmanager
def listening_proxy() -> Iterator[tuple[dict[str, str], list[str]]]:
    """Yield an environment in which every way out leads to a proxy here, and the list of what came to it."""
    came: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                came.append(peer.recv(200).decode(errors="replace").split("\r\n")[0])

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    yield dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), address), came
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_a_node_writes_a_run_offline_without_a_key_and_tries_no_connection(tmp_path: Path, write_run: Write) -> None:
    with listening_proxy() as (environment, came):
        run = write_run(tmp_path / "output", environment)
    assert came == []
    assert [path.name for path in run.glob("*.wandb")] == [f"run-{run.name.rsplit('-', 1)[1]}.wandb"]


def test_negative_control_the_same_run_online_does_try_to_connect(tmp_path: Path) -> None:
    with listening_proxy() as (environment, came):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE_ONLINE, str(tmp_path / "output")],
            cwd=REPOSITORY,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(REPOSITORY),
                "HOME": str(tmp_path),
                "WANDB_API_KEY": KEY,
                **environment,
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 60
            while not came and process.poll() is None and time.monotonic() < deadline:
                threading.Event().wait(0.05)
        finally:
            os.killpg(process.pid, 9)
            process.wait()
    assert came
    assert came[0].startswith("CONNECT ")


def test_a_run_holds_metrics_and_settings_and_nothing_of_the_machine_or_of_patients(
    tmp_path: Path, write_run: Write
) -> None:
    run = write_run(tmp_path / "output", {"WANDB_API_KEY": KEY, "USER": "a-user-name"})
    everything = b"".join(path.read_bytes() for path in run.rglob("*") if path.is_file())
    assert b"sites/hospital-a/auroc" in everything
    for private in (KEY, "patientunitstayid", "141765", "a-user-name", socket.gethostname(), str(REPOSITORY)):
        assert private.encode() not in everything, private
    assert not [path for path in (tmp_path / "output").rglob("*") if path.is_symlink()]
    assert not (tmp_path / "home").exists()  # nothing in the home folder


def test_the_operator_uploads_the_run_with_the_key_of_the_environment(
    tmp_path: Path, write_run: Write, wandb_server: StandIn
) -> None:
    run = write_run(tmp_path / "results" / "output", {})
    environment = {**os.environ, "WANDB_API_KEY": KEY, "WANDB_BASE_URL": wandb_server.url}

    assert sync(tmp_path / "results", WANDB, environment=environment) == (run,)

    assert wandb_server.authorizations - {""} == {"Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()}
    assert {(bucket["entity"], bucket["project"]) for bucket in wandb_server.buckets} == {("a-team", "mortality")}
    assert wandb_server.buckets[0]["displayName"] == "eicu"
    first, second = wandb_server.history
    assert (first["_step"], second["_step"]) == (0, 1)
    assert first["federated/auroc"] == pytest.approx(0.7)
    assert second["federated/auroc"] == pytest.approx(0.8)
    assert second["sites/hospital-b/test_loss"] == 0.25
    assert "sites/hospital-b/auroc" not in second
    summary = json.loads(wandb_server.files["wandb-summary.json"])
    assert summary["digest"] == "abc"
    settings = yaml.safe_load(wandb_server.files["config.yaml"])
    assert settings["training"]["value"]["learning_rate"] == 0.001
    assert settings["sites"]["value"] == ["hospital-a", "hospital-b"]


def test_a_federation_with_tracking_on_logs_every_round_of_every_site(tmp_path: Path, wandb_server: StandIn) -> None:
    federation = Federation(tmp_path, rounds=3, wandb={"enabled": True, "project": "mortality", "entity": "a-team"})
    try:
        federation.start_all()
        assert [federation.exit_code(node) for node in ("aggregator", *federation.sites)] == [0, 0, 0]
    finally:
        federation.end()
    environment = {**os.environ, "WANDB_API_KEY": KEY, "WANDB_BASE_URL": wandb_server.url}
    sync(tmp_path / "aggregator" / "output", WANDB, environment=environment)
    assert not (tmp_path / "site-a" / "output" / "wandb").exists()
    assert [line["federated/auroc"] for line in wandb_server.history] == [
        record["federated"]["auroc"] for record in federation.rounds()
    ]
    last = federation.rounds()[-1]
    assert {site["site"]: site["test_loss"] for site in last["sites"]} == {
        site: wandb_server.history[-1][f"sites/{site}/test_loss"] for site in federation.sites
    }


def test_what_is_uploaded_already_is_not_uploaded_again(
    tmp_path: Path, write_run: Write, wandb_server: StandIn
) -> None:
    write_run(tmp_path / "output", {})
    environment = {**os.environ, "WANDB_API_KEY": KEY, "WANDB_BASE_URL": wandb_server.url}
    sync(tmp_path, WANDB, environment=environment)
    requests = len(wandb_server.paths)
    assert sync(tmp_path, WANDB, environment=environment) == ()
    assert len(wandb_server.paths) == requests


def test_a_server_that_refuses_is_an_error_with_its_reason_and_without_the_key(
    tmp_path: Path, write_run: Write, wandb_server: StandIn
) -> None:
    write_run(tmp_path / "output", {})
    wandb_server.status = 403
    environment = {**os.environ, "WANDB_API_KEY": KEY, "WANDB_BASE_URL": wandb_server.url}
    with pytest.raises(WandbSyncFailed) as error:
        sync(tmp_path, WANDB, environment=environment)
    assert "left 1 of 1 run(s) behind" in str(error.value)
    assert KEY not in str(error.value)
    assert sync_is_still_due(tmp_path)


def test_a_server_that_is_not_there_is_an_error_in_time(tmp_path: Path, write_run: Write) -> None:
    write_run(tmp_path / "output", {})
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    environment = {**os.environ, "WANDB_API_KEY": KEY, "WANDB_BASE_URL": address}
    with pytest.raises(WandbSyncFailed, match="did not finish within 3 s"):
        sync(tmp_path, WANDB, environment=environment, timeout_seconds=3)
    assert sync_is_still_due(tmp_path)


def sync_is_still_due(results: Path) -> bool:
    with pytest.raises(WandbSyncFailed, match="WANDB_API_KEY is not set"):
        sync(results, WANDB, environment={})
    return True
