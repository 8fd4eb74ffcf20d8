"""A conversation waits for no one longer than it says, and keeps no more than it says."""

import socket
import threading
from collections.abc import Iterator

import pytest
from served import DEADLINE_SECONDS

from infra.local.twin.services.conversation import BadRequest, Conversation, Patience

SHORT = Patience(head=0.2, piece=0.2, drain=0.2)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_who_says_nothing_is_left(ends: tuple[socket.socket, socket.socket]) -> None:
    assert Conversation(ends[0], SHORT).request() is None


def test_who_says_a_little_again_and_again_is_left_as_well(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    over = threading.Event()

    def trickle() -> None:
        theirs.sendall(b"GET / HTTP/1.1\r\n")
        while not over.wait(0.02):
            theirs.sendall(b"X: y\r\n")

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        assert Conversation(ours, SHORT).request() is None
    finally:
        over.set()
        thread.join(DEADLINE_SECONDS)


def test_a_small_body_that_trickles_in_is_not_waited_for(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf.")
    conversation = Conversation(ours, SHORT)
    assert conversation.request() is not None
    with pytest.raises(TimeoutError):
        conversation.body_within(10)


def test_a_body_that_stops_is_not_waited_for(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf.")
    conversation = Conversation(ours, SHORT)
    assert conversation.request() is not None
    body = conversation.body()
    assert next(body) == b"half."
    with pytest.raises(TimeoutError):
        next(body)


def test_who_does_not_take_the_answer_is_left(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    conversation = Conversation(ours, SHORT)
    assert conversation.request() is not None
    with pytest.raises(TimeoutError):
        conversation.answer(200, b"x" * 50_000_000)


@pytest.mark.parametrize(("length", "fits"), [(1000, True), (1001, False)])
def test_a_body_is_read_to_its_limit_only(ends: tuple[socket.socket, socket.socket], length: int, fits: bool) -> None:
    ours, theirs = ends
    theirs.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length + b"x" * length)
    conversation = Conversation(ours, SHORT)
    assert conversation.request() is not None
    if fits:
        assert len(conversation.body_within(1000)) == length
    else:
        with pytest.raises(BadRequest, match="too long"):
            conversation.body_within(1000)


def test_a_head_is_read_to_its_limit_only(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40_000)
    with pytest.raises(BadRequest) as refused:
        Conversation(ours, SHORT).request()
    assert refused.value.status == 431
