"""Nothing that arrives is unpickled, evaluated or imported: Python itself is asked, over our and FedML's receive path.

A process of its own receives real messages and hostile ones through hub, queue manager and FedML's server manager, with
an audit hook that hears of every import, compilation, execution and unpickling. The control shows that it would.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HELPERS = Path(__file__).parents[2] / "helpers"

RECEIVE = """
import json, pickle, sys, threading
sys.path[:0] = [{helpers!r}, {here!r}]
from pathlib import Path
from collections import OrderedDict
import torch
from authority import Authority
from fl_processes import free_port, run_files
from test_nothing_runs import Bomb, hostile
import fl_app.nodes
from fl_app import engine
from fl_app.config import read_config
from fl_app.learning.aggregation import FedAvg
from fl_app.learning.aggregator import GlobalModel, RosterAggregator
from fl_app.learning.models import LogisticRegression
from fl_app.rounds.checkpoint import Checkpoints
from fl_app.rounds.course import Course
from fl_app.rounds.members import Members, RosterFile
from fl_app.rounds.ranks import Ranks
from fl_app.rounds.results import Results
from fl_app.rounds.server import ServerRounds
from fl_app.tracking import open_tracker
from fl_app.transport.audit import AuditLog
from fl_app.transport.frames import Hello, Letter, hello_frame, letter_frames
from fl_app.transport.identity import load_credentials
from fl_app.transport.hub_manager import HubManager
from fl_app.transport.options import PATH, channel_options
from fl_app.transport.wire import Envelope, encode_header, encode_tensors
import grpc

root = Path(sys.argv[1])
port = free_port()
import os
os.environ["FEDERATE_ADDRESS_MAP"] = f"10.30.0.10:8890=127.0.0.1:{{port}}"
authority = Authority()
for name, text in run_files("aggregator", role="aggregator", roster=("site-a",), rounds=1).items():
    (root / name).write_text(text)
config = read_config(root)
own = load_credentials(authority.issue(root / "tls", "aggregator", role="aggregator"), federation="test",
                       role="aggregator", node="aggregator")
site = authority.issue(root / "site", "site-a")
args = engine.arguments(dict(config.fedml), rank=0, device="cpu")
model = GlobalModel(LogisticRegression(10, 2), args, aggregation=FedAvg({{}}))
aggregator = RosterAggregator(config.roster, "cpu", args, model)
ranks = Ranks(root)
members = Members(config.roster, ranks, RosterFile(root))
wire = HubManager(config, own, audit=AuditLog(root, own), declared=aggregator.template, ranks=ranks)
course = Course(config, aggregator, members=members, wire=wire, checkpoints=Checkpoints(root / "c"),
                fingerprint="f", results=Results(root / "o", new_run=True),
                tracker=open_tracker(config, root / "o"), found=None)
rounds = ServerRounds(args, aggregator, ranks=ranks, wire=wire, course=course)
state = OrderedDict(weight=torch.zeros(2, 10), bias=torch.zeros(2))
status = Envelope("status", "site-a", "aggregator", {{"client_status": "ONLINE", "data_sha256": ""}})

def call(frames):
    files = ("authority", "key", "certificate")
    tls = grpc.ssl_channel_credentials(*((site / f"{{name}}.pem").read_bytes() for name in files))
    options = channel_options("aggregator.test.federate")
    with grpc.secure_channel(f"127.0.0.1:{{port}}", tls, options=options) as channel:
        try:
            list(channel.stream_stream(PATH)(iter(frames), timeout=10))
        except grpc.RpcError as error:
            return str(error.code())
    return "taken"

def everything(update_run, attacks):
    codes = []
    for number, frames in enumerate(attacks):
        codes.append(call([hello_frame(Hello(f"{{number:032x}}", "", 0)), *frames]))
    told = {{"run": update_run, "round": 0, "edition": course.book.edition, "num_samples": 5}}
    good = Envelope("update", "site-a", "aggregator", {{**told, "metrics": {{"train_loss": 0.5}}}}, state)
    letters = [Letter(1, encode_header(status), b""), Letter(2, encode_header(good), encode_tensors(state))]
    codes.append(call([hello_frame(Hello("f" * 32, "", 0)), *(f for one in letters for f in letter_frames(one))]))
    return codes

loop = threading.Thread(target=rounds.run, daemon=True)
loop.start()
everything("another", [[b"\\x09"]])  # what gRPC and FedML import late, for any message, is imported here
attacks = hostile(root)
seen = []
WATCHED = ("import", "exec", "compile", "pickle.find_class", "marshal.loads", "code.__new__", "os.system",
           "subprocess.Popen", "ctypes.dlopen", "os.exec", "os.posix_spawn")
watching = True
def hear(event, told):
    if watching and event in WATCHED:
        seen.append([event, str(told[0])[:80]])
sys.addaudithook(hear)
codes = everything(course.book.run, attacks)
import time
until = time.monotonic() + 10
while course.book.round < 1 and time.monotonic() < until:
    time.sleep(0.01)
watching = False
received = list(seen)
watching = True
pickle.loads(pickle.dumps(Bomb(root / "control")))
watching = False
json.dump({{"codes": codes, "seen": received, "control": [e for e, _ in seen[len(received):]],
           "round": course.book.round, "ran": (root / "ran").exists(),
           "control_ran": (root / "control").exists()}}, sys.stdout)
sys.stdout.flush()
os._exit(0)
"""


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return (Path.touch, (self.path,))


def hostile(root: Path) -> list[list[bytes]]:
    """Return frames, after the greeting, that would run code anywhere where they are unpickled or evaluated."""
    import pickle

    from fl_app.transport.frames import Letter, letter_frames

    bomb = pickle.dumps(Bomb(root / "ran"))
    code = f"__import__('pathlib').Path({str(root / 'ran')!r}).touch()"
    fields = {"run": "r", "round": 0, "edition": "e", "num_samples": 1, "metrics": {}}
    head = {"v": 1, "kind": "update", "from": "site-a", "to": "aggregator", "fields": fields, "tensors": ["weight"]}
    headers = [
        head,
        {**head, "kind": "__import__"},
        {**head, "kind": code},
        {**head, "fields": {**fields, "py/object": "pathlib.Path", "py/reduce": [code]}},
        {**head, "fields": {**fields, "model_file_cache_folder": str(root)}},
        {**head, "tensors": ["os.system"]},
    ]
    letters = [Letter(1, json.dumps(one).encode(), body) for one in headers for body in (bomb, code.encode(), b"")]
    letters += [Letter(1, bomb, bomb), Letter(1, b"!!python/object/apply:os.system [id]", b""), Letter(1, b"", bomb)]
    return [[bomb], [code.encode()], *[list(letter_frames(one)) for one in letters]]


def test_nothing_that_arrives_is_unpickled_evaluated_or_imported(tmp_path: Path) -> None:
    code = RECEIVE.format(helpers=str(HELPERS), here=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    *refused, taken = found["codes"]
    assert set(refused) == {"StatusCode.INVALID_ARGUMENT"}, refused
    assert (taken, found["round"]) == ("taken", 1)
    assert found["seen"] == []
    assert found["ran"] is False
    assert "pickle.find_class" in found["control"]
    assert found["control_ran"] is True
