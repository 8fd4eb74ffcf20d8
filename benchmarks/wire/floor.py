"""The floor: bare mutual-TLS gRPC streams and plain sockets that carry the same bytes between as many processes."""

from __future__ import annotations

import json
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from wire.process import WARM, answer, certificates, free_port, swarms, worker

CHUNK = 1 << 20
TLS_NAME = "aggregator.test.federate"
_BARE = "/bare.Stream/Exchange"


def bare(kind: str, size: int, peers: int, times: int) -> dict[str, float]:
    """Return the median ``seconds`` in which a server sends so many bytes to all peers and gets as many from each.

    Args:
        kind: ``grpc`` and ``tcp``, each peer a process; ``swarm``, gRPC with some peers in each process.
        size: bytes, each way, for a peer.
        peers: how many.
        times: exchanges, after one that does not count.
    """
    with tempfile.TemporaryDirectory() as folder:
        certificates(Path(folder), peers)
        wanted = [str(free_port()), folder, str(size), str(times)]
        server = worker("tcp-server" if kind == "tcp" else "bare-server", *wanted, str(peers), quiet=True)
        if kind == "swarm":
            clients = [worker("bare-swarm", *wanted, *part, quiet=True) for part in swarms(peers)]
        else:
            role = "tcp-client" if kind == "tcp" else "bare-client"
            clients = [worker(role, *wanted, str(number), quiet=True) for number in range(peers)]
        return answer(server, clients)


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
        if len(seconds) == 1:
            print(WARM, flush=True)
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


def bare_swarm(port: str, folder: str, size: str, times: str, first: str, count: str) -> None:
    """Be some bare clients."""
    threads = [
        threading.Thread(target=bare_client, args=(port, folder, size, times, str(number)), daemon=True)
        for number in range(int(first), int(first) + int(count))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


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
    """Return a model's worth of bytes, cut already, each piece in memory of its own: as a model's are."""
    return [b"\x01" * min(CHUNK, size - start) for start in range(0, size, CHUNK)]


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
        if len(seconds) == 1:
            print(WARM, flush=True)
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
