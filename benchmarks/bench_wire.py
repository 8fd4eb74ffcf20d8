"""What a round costs beyond the sites' fit, against the floor: a bare mutual-TLS gRPC stream with the same bytes.

- ``round``: real nodes (``python -m fl_app``), 22,100 x 2 weights, 2 sites, 50 rounds: round less the longest fit; the
  floor is an exchange of the same bytes by as many bare streams, in the same run.
- ``curve``: a real aggregator and 2, 8, 32, 128 sites that answer without fitting, all in one other process.
- ``compression``: the run of ``round`` with each ``policy.compression``.
- ``large``: 25 and 250 million weights, two sites: send the model, take the updates in, add them up. Beside it the same
  bytes in the same chunks over bare mutual-TLS gRPC streams, and over plain TCP. Peak memory of the hub in models.
- ``idle``: a core's share of an aggregator and a site that wait.

    python benchmarks/bench_wire.py                 # some minutes
    python benchmarks/bench_wire.py --parts round idle
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

CHUNK = 1 << 20
TLS_NAME = "aggregator.test.federate"


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    if len(sys.argv) > 1 and sys.argv[1] in ROLES:
        ROLES[sys.argv[1]](*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=50, metavar="N")
    parser.add_argument("--sites", type=int, nargs="+", default=[2, 8, 32, 128], metavar="N", help="of the curve")
    parser.add_argument("--millions", type=int, nargs="+", default=[25, 250], metavar="N", help="of weights")
    parser.add_argument("--peers", type=int, default=2, metavar="N", help="sites with the large models")
    chosen = parser.parse_args()
    found: dict[str, Any] = {"benchmark": "wire", "cores": os.cpu_count()}
    for part in chosen.parts:
        found[part] = PARTS[part](chosen)
        print(f"{part}: {json.dumps(found[part])}", file=sys.stderr, flush=True)
    print(json.dumps(found))


def small_round(chosen: argparse.Namespace) -> dict[str, Any]:
    """Two real sites and their floor."""
    from fl_processes import Federation

    with tempfile.TemporaryDirectory() as folder:
        run = Federation(Path(folder), rounds=chosen.rounds, options={"features": 22_100, "samples": 300})
        try:
            run.start_all()
            for node in (*run.sites, "aggregator"):
                assert run.exit_code(node, 300) == 0, run.log(node)
            records = run.rounds()[1:]
        finally:
            run.end()
    rest = [r["seconds"] - max(site["fit_seconds"] for site in r["sites"]) for r in records]
    size = 22_100 * 2 * 4 + 8
    floor = bare("grpc", size, 2, chosen.rounds)
    return {
        "rounds": len(records),
        "round_ms": ms(statistics.median(r["seconds"] for r in records)),
        "fit_ms": ms(statistics.median(max(s["fit_seconds"] for s in r["sites"]) for r in records)),
        "round_less_fit_ms": ms(statistics.median(rest)),
        "round_less_fit_ms_p90": ms(sorted(rest)[int(len(rest) * 0.9)]),
        "floor_ms": ms(floor),
    }


def compression(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """The same run with each compression: bytes of an update and of a task, time of a round, and the final loss."""
    from fl_processes import Federation

    found = []
    for name in ("none", "bfloat16", "float16", "zstd"):
        with tempfile.TemporaryDirectory() as folder:
            options = {"features": 22_100, "samples": 300}
            run = Federation(Path(folder), rounds=chosen.rounds, options=options, compression=name)
            try:
                run.start_all()
                for node in (*run.sites, "aggregator"):
                    assert run.exit_code(node, 300) == 0, run.log(node)
                records = run.rounds()
                lines = (run.state("site-a") / "audit.jsonl").read_text().splitlines()
            finally:
                run.end()
        told = [json.loads(line) for line in lines]
        update = [line["bytes"] for line in told if line["direction"] == "sent" and line["kind"] == "update"]
        task = [line["bytes"] for line in told if line["direction"] == "received" and line["kind"] == "sync"]
        rest = [r["seconds"] - max(site["fit_seconds"] for site in r["sites"]) for r in records[1:]]
        found.append(
            {
                "compression": name,
                "update_bytes": round(statistics.mean(update)),
                "task_bytes": round(statistics.mean(task)),
                "round_less_fit_ms": ms(statistics.median(rest)),
                "test_loss": records[-1]["federated"]["test_loss"],
                "auroc": records[-1]["federated"]["auroc"],
            }
        )
        print(f"  {found[-1]}", file=sys.stderr, flush=True)
    return found


def curve(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Rounds of a real aggregator with many sites that answer at once."""
    from fl_processes import Federation

    found = []
    for count in chosen.sites:
        sites = tuple(f"site-{number}" for number in range(count))
        with tempfile.TemporaryDirectory() as folder:
            run = Federation(Path(folder), sites, rounds=20, options={"features": 22_100})
            swarm = worker("swarm", str(run.port), str(run.root), str(count))
            try:
                run.start("aggregator")
                assert run.exit_code("aggregator", 300) == 0, run.log("aggregator")
                seconds = [record["seconds"] for record in run.rounds()[1:]]
            finally:
                swarm.kill()
                swarm.wait()
                run.end()
        found.append(
            {
                "sites": count,
                "round_ms": ms(statistics.median(seconds)),
                "floor_ms": ms(bare("swarm", 176_808, count, 20)),
            }
        )
        found[-1]["ms_a_site"] = round(found[-1]["round_ms"] / count, 2)
        print(f"  {found[-1]}", file=sys.stderr, flush=True)
    return found


def large(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Large models over the wire, and beside it bare streams and TCP."""
    found = []
    for millions in chosen.millions:
        weights, times = millions * 1_000_000, 5 if millions <= 50 else 3
        size = weights * 4
        bytes_moved = 2 * size * chosen.peers
        ours = wire(weights, chosen.peers, times)
        unrecorded = wire(weights, chosen.peers, times, audit=False)
        seconds = {name: bare(name, size, chosen.peers, times) for name in ("grpc", "tcp")}
        rate = {name: bytes_moved / value / 1e9 for name, value in seconds.items()}
        own = bytes_moved / ours["seconds"] / 1e9
        found.append(
            {
                "million_weights": millions,
                "sites": chosen.peers,
                "gb_per_s": round(own, 3),
                "bare_grpc_mtls_gb_per_s": round(rate["grpc"], 3),
                "tcp_gb_per_s": round(rate["tcp"], 3),
                "of_bare": round(own / rate["grpc"], 3),
                "of_bare_without_audit": round(bytes_moved / unrecorded["seconds"] / 1e9 / rate["grpc"], 3),
                "with_next_model_encoded_s": round(ours["seconds_with_next_model"], 3),
                "hub_peak_models": round(ours["peak_bytes"] / size, 2),
                "allowed_models": 4 + chosen.peers,
            }
        )
        print(f"  {found[-1]}", file=sys.stderr, flush=True)
    return found


def idle(chosen: argparse.Namespace) -> dict[str, float]:
    """Share of a core, in percent, of nodes that wait."""
    import psutil
    from fl_processes import Federation

    with tempfile.TemporaryDirectory() as folder:
        run = Federation(Path(folder), rounds=3)
        try:
            run.start("aggregator", "site-a")
            run.wait_for_log("aggregator", "round 1 waits for site-b (not connected)")
            time.sleep(2)
            processes = {node: psutil.Process(run._processes[node].pid) for node in ("aggregator", "site-a")}
            began = {node: sum(process.cpu_times()[:2]) for node, process in processes.items()}
            time.sleep(20)
            return {
                node: round((sum(process.cpu_times()[:2]) - began[node]) / 20 * 100, 3)
                for node, process in processes.items()
            }
        finally:
            run.end()


def wire(weights: int, peers: int, times: int, *, audit: bool = True) -> dict[str, float]:
    """Return the hub's figures of exchanges with so many sites, each a process; without audit for its share only."""
    told = "audit" if audit else "no-audit"
    with tempfile.TemporaryDirectory() as folder:
        certificates(Path(folder), peers)
        port = free_port()
        hub = worker("hub", str(port), folder, str(weights), str(peers), str(times), told)
        sites = [worker("site", str(port), folder, f"site-{number}", told) for number in range(peers)]
        return answer(hub, sites)


def bare(kind: str, size: int, peers: int, times: int) -> float:
    """Return the median seconds in which a server sends so many bytes to all peers and gets as many from each."""
    with tempfile.TemporaryDirectory() as folder:
        certificates(Path(folder), peers)
        port = free_port()
        wanted = [str(port), folder, str(size), str(times)]
        if kind == "tcp":
            server = worker("tcp-server", *wanted, str(peers))
            clients = [worker("tcp-client", *wanted, str(number)) for number in range(peers)]
        else:
            server = worker("bare-server", *wanted, str(peers))
            clients = (
                [worker("bare-swarm", *wanted, str(peers))]
                if kind == "swarm"
                else [worker("bare-client", *wanted, str(number)) for number in range(peers)]
            )
        return float(answer(server, clients)["seconds"])


def certificates(folder: Path, peers: int) -> None:
    """Issue for an aggregator and so many sites."""
    from authority import Authority

    authority = Authority()
    authority.issue(folder / "aggregator", "aggregator", role="aggregator")
    for number in range(peers):
        authority.issue(folder / f"site-{number}", f"site-{number}")


def worker(role: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a process of this script in a role."""
    environment = {**os.environ, "GRPC_VERBOSITY": "NONE", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, role, *arguments]
    quiet = subprocess.DEVNULL if role.startswith(("bare", "tcp")) else None  # they end when their server does
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, env=environment, cwd=ROOT)


def answer(server: subprocess.Popen[bytes], clients: list[subprocess.Popen[bytes]]) -> dict[str, float]:
    """Return what the server prints, and end the clients."""
    try:
        out, _ = server.communicate(timeout=900)
        found: dict[str, float] = json.loads(out.splitlines()[-1])
        return found
    finally:
        for process in (server, *clients):
            process.kill()
            process.wait()


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ms(seconds: float) -> float:
    """Return milliseconds."""
    return round(seconds * 1000, 2)


# --- our wire -------------------------------------------------------------------------------------------------------


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
    from fl_app.transport.hub import Hub
    from fl_app.transport.identity import load_credentials
    from fl_app.transport.wire import Envelope, encode_header

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
    import hashlib

    body = tensors.encode(model)
    model, hashed = tensors.decode(["w"], body), hashlib.sha256(body)
    seconds, whole = [], []
    for round_ in range(int(times) + 1):
        began = time.perf_counter()
        fold = InRosterOrder(MeanFold(form), folder=home)
        for name in names:
            task = {"run": "r", "round": round_, "rounds": int(times), "counted": None}
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
        state = fold.finish()
        body = tensors.encode(state)
        model, hashed = tensors.decode(["w"], body), hashlib.sha256(body)
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


def resident() -> int:
    """Return the resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class Peak:
    """Looks at the resident memory a hundred times a second."""

    def __init__(self) -> None:
        self.most = resident()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            self.most = max(self.most, resident())
            time.sleep(0.01)


def site(port: str, folder: str, name: str, told: str) -> None:
    """Answer every task with the weights that came, guarded and recorded as a site's are."""
    _answer(port, Path(folder) / name, name, audits=told == "audit")
    threading.Event().wait()


def swarm(port: str, root: str, count: str) -> None:
    """Be so many sites of a real aggregator."""
    for number in range(int(count)):
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
        known = {"run": task.fields["run"], "round": task.fields["round"], "metrics": {}}
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


# --- bare streams ---------------------------------------------------------------------------------------------------

_BARE = "/bare.Stream/Exchange"


def _options() -> list[tuple[str, Any]]:
    limit = CHUNK + (1 << 16)
    return [
        ("grpc.max_send_message_length", limit),
        ("grpc.max_receive_message_length", limit),
        ("grpc.ssl_target_name_override", TLS_NAME),
        ("grpc.use_local_subchannel_pool", 1),
    ]


def _pem(folder: Path) -> tuple[bytes, bytes, bytes]:
    key, certificate, authority = ((folder / f"{n}.pem").read_bytes() for n in ("key", "certificate", "authority"))
    return key, certificate, authority


def _chunks(size: int) -> list[bytes]:
    body = bytes(CHUNK)
    return [body[: min(CHUNK, size - start)] for start in range(0, size, CHUNK)]


def bare_server(port: str, folder: str, size: str, times: str, peers: str) -> None:
    """Send to all, wait for as much from each, and again."""
    from concurrent import futures

    import grpc

    key, certificate, authority = _pem(Path(folder) / "aggregator")
    chunks, count = _chunks(int(size)), int(peers)
    queues: list[SimpleQueue[bool]] = []
    back: SimpleQueue[bool] = SimpleQueue()
    lock = threading.Lock()

    def serve(requests: Iterator[bytes], _: Any) -> Iterator[bytes]:
        mine: SimpleQueue[bool] = SimpleQueue()

        def read() -> None:
            left = int(size)
            try:
                for chunk in requests:
                    left -= len(chunk)
                    if left == 0:
                        left = int(size)
                        back.put(True)
            except Exception:
                return

        next(requests)
        threading.Thread(target=read, daemon=True).start()
        with lock:
            queues.append(mine)
        while mine.get():
            yield from chunks

    server = grpc.server(futures.ThreadPoolExecutor(count + 2), options=_options())
    handler = grpc.stream_stream_rpc_method_handler(serve)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bare.Stream", {"Exchange": handler}),))
    tls = grpc.ssl_server_credentials([(key, certificate)], root_certificates=authority, require_client_auth=True)
    server.add_secure_port(f"127.0.0.1:{port}", tls)
    server.start()
    while len(queues) < count:
        time.sleep(0.01)
    seconds = []
    for _ in range(int(times) + 1):
        began = time.perf_counter()
        for queue in queues:
            queue.put(True)
        for _ in range(count):
            back.get()
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": statistics.median(seconds[1:])}), flush=True)
    os._exit(0)


def bare_client(port: str, folder: str, size: str, times: str, number: str) -> None:
    """Answer as much as came."""
    import grpc

    key, certificate, authority = _pem(Path(folder) / f"site-{number}")
    chunks = _chunks(int(size))
    go: SimpleQueue[bool] = SimpleQueue()

    def frames() -> Iterator[bytes]:
        yield b"hello"
        while go.get():
            yield from chunks

    tls = grpc.ssl_channel_credentials(authority, key, certificate)
    channel = grpc.secure_channel(f"127.0.0.1:{port}", tls, options=_options())
    grpc.channel_ready_future(channel).result(60)
    left = int(size)
    for chunk in channel.stream_stream(_BARE)(frames()):
        left -= len(chunk)
        if left == 0:
            left = int(size)
            go.put(True)


def bare_swarm(port: str, folder: str, size: str, times: str, count: str) -> None:
    """Be many bare clients."""
    threads = [
        threading.Thread(target=bare_client, args=(port, folder, size, times, str(number)), daemon=True)
        for number in range(int(count))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def tcp_server(port: str, _: str, size: str, times: str, peers: str) -> None:
    """The same over plain sockets."""
    listener = socket.create_server(("127.0.0.1", int(port)), backlog=64)
    connections = [listener.accept()[0] for _ in range(int(peers))]
    body, seconds = memoryview(bytes(CHUNK)), []

    def exchange(one: socket.socket) -> None:
        sender = threading.Thread(target=_send, args=(one, body, int(size)))
        sender.start()
        _receive(one, int(size))
        sender.join()

    for _ in range(int(times) + 1):
        began = time.perf_counter()
        threads = [threading.Thread(target=exchange, args=(one,)) for one in connections]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": statistics.median(seconds[1:])}), flush=True)
    os._exit(0)


def tcp_client(port: str, _: str, size: str, times: str, number: str) -> None:
    """Answer as much as came."""
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", int(port)))
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    body = memoryview(bytes(CHUNK))
    while True:
        _receive(connection, int(size))
        _send(connection, body, int(size))


def _send(connection: socket.socket, body: memoryview, size: int) -> None:
    for start in range(0, size, CHUNK):
        connection.sendall(body[: min(CHUNK, size - start)])


def _receive(connection: socket.socket, size: int) -> None:
    buffer, left = bytearray(CHUNK), size
    while left:
        got = connection.recv_into(buffer, min(CHUNK, left))
        if not got:
            os._exit(0)
        left -= got


ROLES: dict[str, Any] = {
    "hub": hub,
    "site": site,
    "swarm": swarm,
    "bare-server": bare_server,
    "bare-client": bare_client,
    "bare-swarm": bare_swarm,
    "tcp-server": tcp_server,
    "tcp-client": tcp_client,
}
PARTS: dict[str, Any] = {
    "round": small_round,
    "idle": idle,
    "curve": curve,
    "compression": compression,
    "large": large,
}

if __name__ == "__main__":
    main()
