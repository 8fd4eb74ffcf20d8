"""A service serves many and is exhausted by nobody; it ends when its socket does."""

import socket
import threading
from collections.abc import Callable

from served import DEADLINE_SECONDS, served, until_closed

from infra.local.twin.services.serving import Limits, serve_connections


def echo(connection: socket.socket, _address: str) -> None:
    connection.settimeout(10 * DEADLINE_SECONDS)
    while piece := connection.recv(100):
        connection.sendall(piece)


def serving(handle: Callable[[socket.socket, str], None], **limits: int) -> Callable[[socket.socket], None]:
    return lambda listener: serve_connections(listener, handle, limits=Limits(**limits))


def said(sock: socket.socket) -> bytes:
    """Say something and return the echo; nothing if the connection was closed at once."""
    sock.settimeout(DEADLINE_SECONDS)
    try:
        sock.sendall(b"x")
        return sock.recv(1)
    except (ConnectionResetError, BrokenPipeError):
        return b""


def test_one_address_gets_no_more_connections_than_its_share() -> None:
    with served(serving(echo, per_address=2)) as port:
        first, second, third = (socket.create_connection(("127.0.0.1", port)) for _ in range(3))
        with first, second, third:
            assert [said(sock) for sock in (first, second, third)] == [b"x", b"x", b""]
            with socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)) as other:
                assert said(other) == b"x"


def test_all_addresses_together_get_no_more_than_there_are() -> None:
    with served(serving(echo, connections=1)) as port, socket.create_connection(("127.0.0.1", port)) as first:
        assert said(first) == b"x"
        with socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)) as other:
            assert said(other) == b""


def test_a_connection_that_ended_makes_room_for_another() -> None:
    with served(serving(echo, per_address=1)) as port:
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port)) as sock:
                assert said(sock) == b"x"
                sock.shutdown(socket.SHUT_WR)
                assert until_closed(sock) == b""


def test_a_connection_that_fails_ends_alone() -> None:
    def fail(connection: socket.socket, address: str) -> None:
        if connection.recv(1) == b"f":
            raise ValueError("a fault of this connection")
        connection.sendall(b"ok")

    with served(serving(fail)) as port:
        for sent, received in ((b"f", b""), (b"x", b"ok")):
            with socket.create_connection(("127.0.0.1", port)) as sock:
                sock.sendall(sent)
                assert until_closed(sock) == received


def test_the_end_of_a_service_ends_its_connections() -> None:
    with served(serving(echo)) as port:
        sock = socket.create_connection(("127.0.0.1", port))
        assert said(sock) == b"x"
    with sock:
        assert until_closed(sock) == b""


def test_a_listener_that_is_closed_instead_ends_its_service_too() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serving(echo), args=(listener,), daemon=True)
    thread.start()
    with socket.create_connection(listener.getsockname()) as sock:
        assert said(sock) == b"x"
    listener.close()
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()
