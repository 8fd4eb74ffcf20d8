"""Our wire: an aggregator's end that sends and adds up, and sites that answer at once; no FedML, no fit."""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from collections import OrderedDict
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from wire.floor import TLS_NAME
from wire.process import WARM, Peak, resident


def hub(port: str, folder: str, weights: str, peers: str, times: str, told: str) -> None:
    """Send the model to all, take in and add up what comes, as the aggregator does; without checkpoints."""
    import torch

    from fl_app.config import Address
    from fl_app.learning.folding import InRosterOrder, MeanFold
    from fl_app.learning.state import difference
    from fl_app.plugins import Update
    from fl_app.transport import tensors
    from fl_app.transport.audit import AuditLog
    from fl_app.transport.events import Joined, Received
    from fl_app.transport.hashing import BodyHash
    from fl_app.transport.hub import Hub
    from fl_app.transport.identity import load_credentials
    from fl_app.transport.memory import share_freed_memory
    from fl_app.transport.wire import Envelope, encode_header

    share_freed_memory()
    torch.zeros(10).add_(1)
    home = Path(folder) / "aggregator"
    own = load_credentials(home, federation="test", role="aggregator", node="aggregator")
    names = tuple(f"site-{number}" for number in range(int(peers)))
    events: SimpleQueue[Any] = SimpleQueue()
    shape = (max(1, int(weights) // 1_000_000), 1_000_000) if int(weights) >= 1_000_000 else (int(weights),)
    form = OrderedDict(w=torch.empty(shape, device="meta"))
    audit = AuditLog(home, own) if told == "audit" else None
    address = Address("127.0.0.1", int(port))
    made = Hub(listen=address, credentials=own, roster=names, limit=1 << 33, deliver=events.put, audit=audit)
    made.start()
    for _ in names:
        while not isinstance(events.get(), Joined):
            pass
    base = resident()
    watch = Peak()
    model = OrderedDict(w=torch.full(shape, 0.01))
    body = tensors.encode(model)
    model, hashed = tensors.decode(["w"], body), BodyHash(body)
    seconds, whole = [], []
    for round_ in range(int(times) + 1):
        began = time.perf_counter()
        fold = InRosterOrder(MeanFold(form), folder=home)
        for name in names:
            task = {"run": "r", "round": round_, "rounds": int(times), "counted": None, "edition": "e"}
            header = encode_header(Envelope("sync", "aggregator", name, task, model))
            made.send(name, header, body, hashed=hashed)
        answered = 0
        while answered < len(names):
            event = events.get()
            if isinstance(event, Received):
                envelope = event.envelope
                made.done_with(envelope.sender)
                assert envelope.tensors is not None
                assert difference(envelope.tensors, form) is None
                place = names.index(envelope.sender)
                fold.add(place, Update(envelope.sender, 10 + place, OrderedDict(envelope.tensors)))
                answered += 1
                del event, envelope
        seconds.append(time.perf_counter() - began)
        if len(seconds) == 1:
            print(WARM, flush=True)
        state = fold.finish()
        body = tensors.encode(state)
        model, hashed = tensors.decode(["w"], body), BodyHash(body)
        del state
        whole.append(time.perf_counter() - began)
    print(
        json.dumps(
            {
                "seconds": statistics.median(seconds[1:]),
                "seconds_with_next_model": statistics.median(whole[1:]),
                "peak_bytes": watch.most - base,
            }
        ),
        flush=True,
    )
    os._exit(0)


def site(port: str, folder: str, name: str, told: str) -> None:
    """Answer every task with the weights that came, guarded and recorded as a site's are."""
    _answer(port, Path(folder) / name, name, audits=told == "audit")
    threading.Event().wait()


def swarm(port: str, root: str, first: str, count: str) -> None:
    """Be some sites of a real aggregator."""
    for number in range(int(first), int(first) + int(count)):
        _answer(port, Path(root) / f"site-{number}" / "state" / "tls", f"site-{number}", say_online=True)
    threading.Event().wait()


def _answer(port: str, tls: Path, name: str, *, say_online: bool = False, audits: bool = True) -> None:
    from fl_app.config import Address
    from fl_app.transport.audit import AuditLog
    from fl_app.transport.events import Joined, Received
    from fl_app.transport.guard import EgressGuard
    from fl_app.transport.identity import load_credentials
    from fl_app.transport.link import Link
    from fl_app.transport.wire import Envelope, encode_header, encode_tensors

    own = load_credentials(tls, federation="test", role="client", node=name)
    audit = AuditLog(tls, own) if audits else None
    if audit:
        audit.open()
    address = Address("127.0.0.1", int(port))
    guards: list[EgressGuard] = []

    def send(envelope: Envelope) -> None:
        link.send(encode_header(envelope), encode_tensors(envelope.tensors))

    def arrived(event: Any) -> None:
        if isinstance(event, Joined) and say_online:
            send(Envelope("status", name, "aggregator", {"client_status": "ONLINE", "data_sha256": ""}))
        if not isinstance(event, Received):
            return
        task = event.envelope
        if task.kind == "finish":
            send(Envelope("status", name, "aggregator", {"client_status": "FINISHED", "data_sha256": ""}))
            return
        known = {
            "run": task.fields["run"],
            "round": task.fields["round"],
            "edition": task.fields["edition"],
            "metrics": {},
        }
        if say_online and task.fields["round"] >= task.fields["rounds"]:
            send(Envelope("evaluation", name, "aggregator", known))
            return
        if not guards:
            guards.append(EgressGuard(task.tensors or {}, node=name))
        guards[0].task(known["run"], known["round"])
        answer_ = Envelope("update", name, "aggregator", {**known, "num_samples": 10}, task.tensors)
        guards[0].check(answer_)
        send(answer_)

    link = Link(
        planned=address, real=address, credentials=own, tls_name=TLS_NAME, limit=1 << 33, deliver=arrived, audit=audit
    )
    link.start()
