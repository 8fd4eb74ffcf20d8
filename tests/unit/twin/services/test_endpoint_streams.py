"""An endpoint passes bytes on as they come, both ways, and shows the watcher what a node sends."""

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from endpoint_desk import Desk, desk, signed
from fake_upstream import Request, fake_upstream
from served import DEADLINE_SECONDS, until_closed

S3 = "s3.us-east-1.amazonaws.com"
MEBIBYTE = 1024 * 1024


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    with fake_upstream() as upstream:
        yield desk(upstream, tmp_path / "authority")


@pytest.fixture
def s3(at: Desk) -> Iterator[Any]:
    with at.endpoint("s3") as ask:
        yield ask


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {S3}", *lines, "", ""]).encode()


def auth(key: str = "AKIAOURS000000000000") -> str:
    return f"Authorization: {signed('s3', key)['Authorization']}"


def test_the_bucket_of_a_host_name_goes_to_the_front_of_the_path(at: Desk, s3: Any) -> None:
    for host, path in (
        (f"bucket.{S3}", "/a%20b/c?x=1"),
        ("bucket.s3.amazonaws.com", "/"),
        (f"bucket.{S3}", "/?list-type=2"),
        (f"bucket.{S3}", "//k"),
        (S3, "/bucket/k"),
    ):
        assert s3("GET", path, signed("s3"), host=host).status == 200
    targets = ["/bucket/a%20b/c?x=1", "/bucket/", "/bucket/?list-type=2", "/bucket//k", "/bucket/k"]
    assert [request.target for request in at.upstream.asked] == targets


def test_the_emulator_is_asked_under_its_own_name_and_as_the_node_asked(at: Desk, s3: Any) -> None:
    s3("PUT", "/b/k", {**signed("s3"), "x-amz-meta-a": "1", "Connection": "keep-alive", "Expect": ""}, b"body")
    request = at.upstream.asked[0]
    assert (request.method, request.body) == ("PUT", b"body")
    assert request.headers["host"] == f"127.0.0.1:{at.upstream.port}"
    assert request.headers["x-amz-meta-a"] == "1"
    assert request.headers["authorization"] == signed("s3")["Authorization"]
    assert "expect" not in request.headers


def test_an_upload_is_passed_on_before_it_is_complete(at: Desk, s3: Any) -> None:
    with at.connect(s3.port, S3) as sock:
        sock.sendall(head("PUT", "/b/k", auth(), f"Content-Length: {2 * MEBIBYTE}") + b"x" * MEBIBYTE)
        assert at.upstream.wait(lambda request: len(request.body) == MEBIBYTE)
        sock.sendall(b"y" * MEBIBYTE)
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
    assert at.upstream.asked[0].body == b"x" * MEBIBYTE + b"y" * MEBIBYTE


def test_a_chunked_upload_stays_chunked(at: Desk, s3: Any) -> None:
    with at.connect(s3.port, S3) as sock:
        sock.sendall(head("PUT", "/b/k", auth(), "Transfer-Encoding: chunked") + b"3\r\nabc\r\n")
        assert at.upstream.wait(lambda request: request.body == b"abc")
        sock.sendall(b"2\r\nde\r\n0\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
    assert at.upstream.asked[0].body == b"abcde"
    assert "content-length" not in at.upstream.asked[0].headers


def test_a_download_is_passed_on_before_it_is_complete(at: Desk, s3: Any) -> None:
    got_half = threading.Event()

    def half_by_half(handler: BaseHTTPRequestHandler, _: Request) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(2 * MEBIBYTE))
        handler.end_headers()
        handler.wfile.write(b"x" * MEBIBYTE)
        assert got_half.wait(DEADLINE_SECONDS)
        handler.wfile.write(b"y" * MEBIBYTE)

    at.upstream.behave = half_by_half
    connection = http.client.HTTPConnection(S3, timeout=DEADLINE_SECONDS)
    connection.sock = at.connect(s3.port, S3)
    connection.request("GET", "/b/k", headers=signed("s3"))
    answer = connection.getresponse()
    assert answer.read(MEBIBYTE) == b"x" * MEBIBYTE
    got_half.set()
    assert answer.read() == b"y" * MEBIBYTE
    connection.close()


def test_a_download_of_unknown_length_ends_where_it_ends(at: Desk, s3: Any) -> None:
    def until_close(handler: BaseHTTPRequestHandler, _: Request) -> None:
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\nall of it")

    at.upstream.behave = until_close
    assert s3("GET", "/b/k", signed("s3")).content == b"all of it"


def test_a_download_that_breaks_off_is_seen_to_be_broken(at: Desk, s3: Any) -> None:
    def break_off(handler: BaseHTTPRequestHandler, _: Request) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"short")
        handler.close_connection = True

    at.upstream.behave = break_off
    with pytest.raises(http.client.IncompleteRead):
        s3("GET", "/b/k", signed("s3"))


def test_head_is_answered_without_a_body(at: Desk, s3: Any) -> None:
    answer = s3("HEAD", "/b/k", signed("s3"))
    assert (answer.status, answer.content, answer.getheader("Content-Length")) == (200, b"", "4")
    assert s3("HEAD", "/b/k").status == 403


def test_one_connection_serves_many_requests(at: Desk, s3: Any) -> None:
    connection = http.client.HTTPConnection(S3, timeout=DEADLINE_SECONDS)
    connection.sock = sock = at.connect(s3.port, S3)
    for number in range(3):
        connection.request("PUT", f"/b/{number}", body=b"x" * number, headers=signed("s3"))
        assert connection.getresponse().read() == b"fine"
        connection.request("PUT", "/b/refused", body=b"")
        assert connection.getresponse().read().startswith(b"<?xml")
        assert connection.sock is sock
    assert [request.target for request in at.upstream.asked] == ["/b/0", "/b/1", "/b/2"]
    connection.close()


def test_who_waits_to_be_asked_for_the_body_is_asked(at: Desk, s3: Any) -> None:
    with at.connect(s3.port, S3) as sock:
        sock.sendall(head("PUT", "/b/k", auth(), "Content-Length: 4", "Expect: 100-continue"))
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        sock.sendall(b"body")
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
    assert at.upstream.asked[0].body == b"body"


def test_who_is_refused_is_not_asked_for_the_body(at: Desk, s3: Any) -> None:
    with at.connect(s3.port, S3) as sock:
        sock.sendall(head("PUT", "/b/k", auth("AKIATHEIRS0000000000"), "Content-Length: 4", "Expect: 100-continue"))
        assert sock.recv(100).startswith(b"HTTP/1.1 403")
        until_closed(sock)


def test_a_refusal_arrives_although_the_body_is_still_coming(at: Desk, s3: Any) -> None:
    assert s3("PUT", "/b/k", signed("s3", "AKIATHEIRS0000000000"), b"x" * 8 * MEBIBYTE).status == 403


def test_an_answer_before_the_end_of_the_body_arrives(at: Desk, s3: Any) -> None:
    def refuse_at_once(handler: BaseHTTPRequestHandler, _: Request) -> None:
        handler.send_response(409)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"no")
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_WR)
        while handler.rfile.read(65536):
            pass
        handler.close_connection = True

    at.upstream.behave = refuse_at_once
    answer = s3("PUT", "/b/k", signed("s3"), b"x" * 4 * MEBIBYTE)
    assert (answer.status, answer.content) == (409, b"no")


def test_a_node_that_breaks_off_does_not_complete_the_request(at: Desk, s3: Any) -> None:
    ended: list[int] = []

    def count(handler: BaseHTTPRequestHandler, request: Request) -> None:
        ended.append(len(handler.rfile.read(10)))
        at.upstream.arrived(request, b"ended")

    at.upstream.behave = count
    with at.connect(s3.port, S3) as sock:
        sock.sendall(head("PUT", "/b/k", auth(), "Content-Length: 10") + b"half.")
    assert at.upstream.wait(lambda request: request.body == b"ended")
    assert ended[0] < 10


def test_an_emulator_that_is_gone_is_said_to_be_unavailable(at: Desk, s3: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        at.upstream.port = listener.getsockname()[1]
    with at.endpoint("ssm") as ask:
        answer = ask(headers=signed("ssm"), body=b"{}")
    assert (answer.status, answer.getheader("Content-Type")) == (503, "application/x-amz-json-1.1")


def test_what_is_not_http_is_refused(at: Desk, s3: Any) -> None:
    for junk in (b"\0" * 100 + b"\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000):
        with at.connect(s3.port, S3) as sock:
            try:
                sock.sendall(junk)
                assert until_closed(sock)[:10] in (b"HTTP/1.1 4", b"")
            except (ssl.SSLError, BrokenPipeError, ConnectionResetError):
                pass  # cut off while it was still sending
    assert at.upstream.asked == []
    assert s3("GET", "/b/k", signed("s3")).status == 200


def test_two_framings_at_once_smuggle_nothing(at: Desk, s3: Any) -> None:
    hidden = head("DELETE", "/b/hidden", auth())
    with at.connect(s3.port, S3) as sock:
        lines = (auth(), f"Content-Length: {len(hidden) + 5}", "Transfer-Encoding: chunked", "Connection: close")
        sock.sendall(head("PUT", "/b/k", *lines) + b"0\r\n\r\n" + hidden)
        until_closed(sock)
    assert [(request.method, request.body) for request in at.upstream.asked] in ([("PUT", b"")], [])


WORD = b"sentinel-0123456789-of-hospital-a"


def test_the_watcher_sees_a_word_in_the_body_wherever_it_is_cut(at: Desk, s3: Any) -> None:
    for cut in (1, 5, 20):
        at.seen.clear()
        with at.connect(s3.port, S3) as sock:
            sock.sendall(head("PUT", "/b/k", auth(), f"Content-Length: {len(WORD)}") + WORD[:cut])
            assert at.upstream.wait(lambda request, cut=cut: len(request.body) == cut)
            sock.sendall(WORD[cut:])
            assert sock.recv(100).startswith(b"HTTP/1.1 200")
        assert at.saw(WORD)


def test_the_watcher_sees_a_word_that_chunks_divide(at: Desk, s3: Any) -> None:
    with at.connect(s3.port, S3) as sock:
        body = b"".join(b"1\r\n%c\r\n" % byte for byte in WORD) + b"0\r\n\r\n"
        sock.sendall(head("PUT", "/b/k", auth(), "Transfer-Encoding: chunked") + body)
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
    assert at.saw(WORD)


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        (f"/b/{WORD.decode()}", {}, None),
        (f"/b/k?x={WORD.decode()}", {}, None),
        ("/b/k", {"x-amz-meta-a": WORD.decode()}, None),
        ("/b/k", {"Authorization": "none"}, WORD),
    ],
)
def test_the_watcher_sees_path_and_headers_and_what_is_refused(at: Desk, s3: Any, path: str, headers: Any, body: Any):
    s3("PUT", path, {**signed("s3"), **headers}, body)
    assert at.saw(WORD)


def test_the_watcher_sees_what_is_no_request_at_all(at: Desk, s3: Any) -> None:
    with at.connect(s3.port, S3) as sock:
        sock.sendall(WORD + b"\r\n\r\n")
        until_closed(sock)
    assert at.saw(WORD)


def test_negative_control_the_watcher_does_not_see_what_is_not_sent(at: Desk, s3: Any) -> None:
    s3("PUT", "/b/k", signed("s3"), WORD[:-1])
    assert at.seen
    assert not at.saw(WORD, 0)
