"""The resolver knows the names of its VPC, and nothing and nobody else."""

import socket
import struct
import threading
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdataclass
import pytest
from served import DEADLINE_SECONDS, served, until_closed

from infra.local.twin.services.resolver import Resolver, zone_of

ZONE = zone_of(
    "us-east-1",
    interfaces={"ssm": ["10.10.0.5"], "logs": ["10.10.0.6", "10.10.1.6"]},
    s3=["52.216.0.1"],
    nodes=["10.10.0.10"],
)


@pytest.fixture
def zone() -> dict[str, tuple[str, ...]]:
    return dict(ZONE)


@pytest.fixture
def port(zone: dict[str, tuple[str, ...]]) -> Iterator[int]:
    with served(Resolver(lambda: zone).serve_udp, kind=socket.SOCK_DGRAM) as port:
        yield port


def ask(port: int, name: str, kind: str = "A") -> dns.message.Message:
    return dns.query.udp(dns.message.make_query(name, kind), "127.0.0.1", timeout=DEADLINE_SECONDS, port=port)


def told(answer: dns.message.Message) -> list[str]:
    return sorted(record.to_text() for records in answer.answer for record in records)


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("ssm.us-east-1.amazonaws.com", ["10.10.0.5"]),
        ("SSM.us-east-1.AmazonAWS.com", ["10.10.0.5"]),
        ("logs.us-east-1.amazonaws.com", ["10.10.0.6", "10.10.1.6"]),
        ("s3.us-east-1.amazonaws.com", ["52.216.0.1"]),
        ("bucket.s3.us-east-1.amazonaws.com", ["52.216.0.1"]),
        ("my.bucket.s3.us-east-1.amazonaws.com", ["52.216.0.1"]),
        ("s3.amazonaws.com", ["52.216.0.1"]),
        ("bucket.s3.amazonaws.com", ["52.216.0.1"]),
        ("ip-10-10-0-10.ec2.internal", ["10.10.0.10"]),
    ],
)
def test_a_name_of_the_vpc_has_its_addresses(port: int, name: str, addresses: list[str]) -> None:
    answer = ask(port, name)
    assert (answer.rcode(), told(answer)) == (dns.rcode.NOERROR, addresses)
    assert answer.flags & dns.flags.RA


@pytest.mark.parametrize("kind", ["AAAA", "TXT", "MX"])
def test_a_name_of_the_vpc_has_addresses_of_version_4_only(port: int, kind: str) -> None:
    answer = ask(port, "ssm.us-east-1.amazonaws.com", kind)
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])


@pytest.mark.parametrize(
    "name",
    [
        "example.com",
        "ssm.us-west-2.amazonaws.com",
        "sts.us-east-1.amazonaws.com",
        "x.ssm.us-east-1.amazonaws.com",
        "xs3.us-east-1.amazonaws.com",
        "ip-10-10-0-11.ec2.internal",
        "secret-of-a-patient.example.org",
        ".",
    ],
)
@pytest.mark.parametrize("kind", ["A", "AAAA", "TXT"])
def test_every_other_name_does_not_exist(port: int, name: str, kind: str) -> None:
    answer = ask(port, name, kind)
    assert (answer.rcode(), answer.answer) == (dns.rcode.NXDOMAIN, [])


def test_a_name_exists_as_soon_as_the_zone_has_it_and_no_longer(port: int, zone: dict[str, tuple[str, ...]]) -> None:
    name = "secretsmanager.us-east-1.amazonaws.com"
    assert ask(port, name).rcode() == dns.rcode.NXDOMAIN
    zone[name] = ("10.10.0.7",)
    assert told(ask(port, name)) == ["10.10.0.7"]
    del zone[name]
    assert ask(port, name).rcode() == dns.rcode.NXDOMAIN


def test_an_address_of_a_node_has_its_name(port: int) -> None:
    assert told(ask(port, "10.0.10.10.in-addr.arpa", "PTR")) == ["ip-10-10-0-10.ec2.internal."]


@pytest.mark.parametrize("name", ["11.0.10.10.in-addr.arpa", "x.in-addr.arpa", "999.0.10.10.in-addr.arpa"])
def test_any_other_address_has_none(port: int, name: str) -> None:
    assert ask(port, name, "PTR").rcode() == dns.rcode.NXDOMAIN


def test_other_regions_write_private_names_and_s3_differently() -> None:
    zone = zone_of("eu-west-1", interfaces={}, s3=["52.218.0.1"], nodes=["10.1.0.4"])
    assert set(zone) == {
        "s3.eu-west-1.amazonaws.com",
        "*.s3.eu-west-1.amazonaws.com",
        "ip-10-1-0-4.eu-west-1.compute.internal",
    }


def test_without_a_way_to_s3_it_has_no_name() -> None:
    assert not [name for name in zone_of("us-east-1", interfaces={"ssm": ["10.0.0.5"]}) if "s3" in name]


def test_an_answer_that_is_too_long_says_so_and_comes_whole_over_tcp(zone: dict[str, tuple[str, ...]]) -> None:
    zone["many.test"] = tuple(f"10.0.0.{number}" for number in range(200))
    query = dns.message.make_query("many.test", "A")
    resolver = Resolver(lambda: zone)
    with served(resolver.serve_udp, kind=socket.SOCK_DGRAM) as port:
        answer = dns.query.udp(query, "127.0.0.1", timeout=DEADLINE_SECONDS, port=port)
    assert answer.flags & dns.flags.TC
    assert told(answer) == []
    with served(resolver.serve_tcp) as port:
        assert len(told(dns.query.tcp(query, "127.0.0.1", timeout=DEADLINE_SECONDS, port=port))) == 200


def test_a_message_that_is_no_query_is_not_carried_out(zone: dict[str, tuple[str, ...]]) -> None:
    resolver = Resolver(lambda: zone)
    update = dns.message.make_query("ssm.us-east-1.amazonaws.com", "A")
    update.set_opcode(dns.opcode.NOTIFY)
    chaos = dns.message.make_query("version.bind", "TXT", dns.rdataclass.CH)
    codes = [dns.message.from_wire(resolver.answer(q.to_wire(), udp=True) or b"").rcode() for q in (update, chaos)]
    assert codes == [dns.rcode.NOTIMP, dns.rcode.REFUSED]


def test_an_answer_is_not_answered(zone: dict[str, tuple[str, ...]]) -> None:
    answer = dns.message.make_response(dns.message.make_query("example.com", "A"))
    assert Resolver(lambda: zone).answer(answer.to_wire(), udp=True) is None


@pytest.mark.parametrize("junk", [b"", b"x", b"\0" * 11])
def test_what_is_no_message_gets_no_answer(zone: dict[str, tuple[str, ...]], junk: bytes) -> None:
    assert Resolver(lambda: zone).answer(junk, udp=True) is None


def test_a_broken_message_is_called_broken_and_the_next_one_is_answered(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(DEADLINE_SECONDS)
        sock.sendto(struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + b"\xc0", ("127.0.0.1", port))
        answer = sock.recv(512)
    assert struct.unpack(">2H", answer[:4]) == (7, 0x8100 | dns.rcode.FORMERR)
    assert told(ask(port, "ssm.us-east-1.amazonaws.com")) == ["10.10.0.5"]


def test_a_zone_that_fails_once_does_not_end_the_resolver() -> None:
    answers = iter([RuntimeError("looking"), ZONE])

    def zone() -> dict[str, tuple[str, ...]]:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    with served(Resolver(zone).serve_udp, kind=socket.SOCK_DGRAM) as port:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(dns.message.make_query("x.test", "A").to_wire(), ("127.0.0.1", port))
        assert told(ask(port, "ssm.us-east-1.amazonaws.com")) == ["10.10.0.5"]


def test_a_message_over_tcp_that_is_too_long_ends_the_connection(zone: dict[str, tuple[str, ...]]) -> None:
    with served(Resolver(lambda: zone).serve_tcp) as port, socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(struct.pack(">H", 65_535))
        assert until_closed(sock) == b""


def test_the_resolver_ends_while_somebody_is_connected(zone: dict[str, tuple[str, ...]]) -> None:
    with served(Resolver(lambda: zone).serve_tcp) as port:
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(b"\0")
    with sock:
        assert until_closed(sock) == b""
    assert threading.active_count() < 50
