"""A stand-in for W&B's server on loopback, and real offline runs made by the aggregator's tracker."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]

#: What an aggregator does with its tracker: opens it, gives it two rounds, and closes it.
WRITE_RUN = """
import sys
from pathlib import Path
from fl_app.config import Address, Plugin, Policy, RunConfig, Training, Wandb
from fl_app.tracking import open_tracker

config = RunConfig(
    federation="eicu", node="aggregator", role="aggregator", tls_name_of_aggregator="aggregator.eicu.federate",
    aggregator=Address("10.30.0.10", 8890), dataset=Plugin("eicu"), model=Plugin("logistic_regression"),
    aggregation=Plugin("fedavg"), training=Training(2, 1, 32, 0.001, "adam", 0.0, "balanced", 0), policy=Policy(),
    message_limit=1 << 30, wandb=Wandb(True, "mortality", "a-team"), gpu_processes=(1,),
    roster=("hospital-a", "hospital-b"),
)
tracker = open_tracker(config, Path(sys.argv[1]))
for number in range(2):
    tracker.round({
        "round": number, "rounds": 2, "seconds": 0.5, "answered": ["hospital-a", "hospital-b"],
        "sites": [
            {"site": "hospital-a", "samples": 100, "test_loss": 0.5, "auroc": 0.75, "patientunitstayid": 141765},
            {"site": "hospital-b", "samples": 300, "test_loss": 0.25, "auroc": None},
        ],
        "federated": {"train_loss": 0.4, "test_loss": 0.3125, "auroc": 0.7 + number / 10},
    })
tracker.finish({"rounds": 2, "digest": "abc", "sites": ["hospital-a"]})
"""


def run_python(code: str, *arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def write_run() -> Callable[[Path, Mapping[str, str]], Path]:
    """Write a real offline run under a folder and return the run's own folder."""

    def write(output: Path, environment: Mapping[str, str]) -> Path:
        done = run_python(WRITE_RUN, str(output), environment={"HOME": str(output.parent / "home"), **environment})
        assert done.returncode == 0, done.stderr
        (run,) = (output / "wandb").glob("offline-run-*")
        return run

    return write


@dataclass
class StandIn:
    """W&B's server as far as ``wandb sync`` needs it; remembers what it was sent."""

    url: str = ""
    status: int = 200
    authorizations: set[str] = field(default_factory=set)
    buckets: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)

    def graphql(self, query: dict[str, Any]) -> dict[str, Any]:
        given = query.get("variables") or {}
        if query.get("operationName") == "UpsertBucket":
            self.buckets.append(given)
            entity = {"id": "RQ==", "name": given.get("entity") or "someone"}
            project = {"id": "UA==", "name": given["project"], "entity": entity}
            bucket = {
                "id": "Qg==",
                "name": given["name"],
                "displayName": given.get("displayName"),
                "config": "{}",
                "historyLineCount": 0,
                "project": project,
            }
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if query.get("operationName") == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in given["files"]]
            return {"createRunFiles": {"runID": "Qg==", "uploadHeaders": [], "files": files}}
        return {}


@pytest.fixture
def wandb_server() -> Iterator[StandIn]:
    stand_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            stand_in.paths.append(self.path)
            stand_in.authorizations.add(self.headers.get("authorization") or "")
            answer: dict[str, Any] = {}
            if stand_in.status != 200:
                answer = {"errors": [{"message": "permission denied"}]}
            elif self.path == "/graphql":
                answer = {"data": stand_in.graphql(json.loads(body))}
            elif self.path.startswith("/upload/"):
                stand_in.files[self.path.removeprefix("/upload/")] = body
            elif self.path.endswith("/file_stream"):
                chunk = json.loads(body).get("files", {}).get("wandb-history.jsonl", {})
                stand_in.history += [json.loads(line) for line in chunk.get("content", ())]
            text = json.dumps(answer).encode()
            self.send_response(stand_in.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_PUT = do_POST  # noqa: N815
        do_GET = do_POST  # noqa: N815

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that hangs up is no news."""

    server = Quiet(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield stand_in
    server.shutdown()
    server.server_close()
    thread.join()
