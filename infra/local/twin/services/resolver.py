"""The VPC's resolver: it knows the names of the VPC, and forwards nothing to anybody.

On AWS the resolver would ask the internet for other names. A node has no use for them, and a query is a way out.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import struct
from collections.abc import Callable, Mapping, Sequence

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from infra.local.twin.services.names import host_names, private_name
from infra.local.twin.services.serving import POLL_SECONDS, Limits, serve_connections

_log = logging.getLogger(__name__)

_TTL_SECONDS = 60
_MAX_QUERY = 1232  # bytes; more than any question of one name needs
_TCP_SECONDS = 10.0
_TCP_LIMITS = Limits(connections=128, per_address=16)
_LENGTH = struct.Struct(">H")
_REVERSE = ".in-addr.arpa"

#: Lower-case name without the last dot, or ``*.`` and a name, to IPv4 addresses.
Zone = Mapping[str, tuple[str, ...]]


def zone_of(
    region: str,
    *,
    interfaces: Mapping[str, Sequence[str]],
    s3: Sequence[str] = (),
    nodes: Sequence[str] = (),
) -> dict[str, tuple[str, ...]]:
    """Return the names that a VPC resolves.

    Args:
        region: the VPC's.
        interfaces: service (``ssm``) to the addresses of its interface endpoint with private DNS.
        s3: addresses of S3, where a gateway endpoint leads there.
        nodes: private addresses of instances.
    """
    services = {**interfaces, **({"s3": s3} if s3 else {})}
    zone = {name: tuple(found) for service, found in services.items() for name in host_names(service, region)}
    return zone | {private_name(address, region): (address,) for address in nodes}


class Resolver:
    """Answers from a zone; whatever is not in it does not exist.

    Args:
        zone: the names as they are now; asked at every query, so it must be quick.
    """

    def __init__(self, zone: Callable[[], Zone]) -> None:
        self._zone = zone

    def serve_udp(self, sock: socket.socket) -> None:
        """Answer datagrams until the socket is shut; see :func:`infra.local.twin.services.serving.shut`."""
        # Only a read that blocks in the kernel is told that the socket was shut, so the kernel has to watch the time.
        sock.settimeout(None)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(POLL_SECONDS), 0))
        while True:
            try:
                query, source = sock.recvfrom(_MAX_QUERY)
            except OSError:
                if sock.fileno() == -1:
                    return
                continue  # nothing came in time, or an earlier answer found nobody
            if source is None:
                return  # shut
            answer = self._answer_safely(query, udp=True)
            if answer is not None:
                try:
                    sock.sendto(answer, source)
                except OSError as error:
                    _log.debug("no answer to %s: %s", source, error)

    def serve_tcp(self, listener: socket.socket) -> None:
        """Answer connections until the listener is shut."""
        serve_connections(listener, self._converse, limits=_TCP_LIMITS)

    def answer(self, query: bytes, *, udp: bool) -> bytes | None:
        """Return the answer to a message of DNS, or None if it deserves none.

        Args:
            query: as it arrived.
            udp: whether the answer must fit into a datagram; if it does not, it says so (TC) and is asked for over TCP.
        """
        try:
            message = dns.message.from_wire(query, ignore_trailing=True)
        except dns.exception.DNSException:
            return _malformed(query)
        if message.flags & dns.flags.QR:
            return None  # an answer; to answer it could go on for ever
        response = dns.message.make_response(message, recursion_available=True)
        response.set_rcode(self._fill(message, response))
        limit = (message.payload if message.edns >= 0 else 512) if udp else 65_535
        try:
            return response.to_wire(max_size=max(limit, 512))
        except dns.exception.TooBig:
            short = dns.message.make_response(message, recursion_available=True)
            short.flags |= dns.flags.TC
            return short.to_wire()

    def _fill(self, query: dns.message.Message, response: dns.message.Message) -> dns.rcode.Rcode:
        if query.opcode() != dns.opcode.QUERY:
            return dns.rcode.NOTIMP
        if len(query.question) != 1:
            return dns.rcode.FORMERR
        question = query.question[0]
        if question.rdclass != dns.rdataclass.IN:
            return dns.rcode.REFUSED
        name = question.name.to_text(omit_final_dot=True).lower()
        zone = self._zone()
        addresses = zone.get(name) or _by_wildcard(zone, name)
        if addresses and question.rdtype in (dns.rdatatype.A, dns.rdatatype.ANY):
            response.answer.append(dns.rrset.from_text_list(question.name, _TTL_SECONDS, "IN", "A", list(addresses)))
        reverse = _reverse(zone, name)
        if reverse and question.rdtype in (dns.rdatatype.PTR, dns.rdatatype.ANY):
            response.answer.append(dns.rrset.from_text(question.name, _TTL_SECONDS, "IN", "PTR", f"{reverse}."))
        return dns.rcode.NOERROR if addresses or reverse else dns.rcode.NXDOMAIN

    def _answer_safely(self, query: bytes, *, udp: bool) -> bytes | None:
        try:
            return self.answer(query, udp=udp)
        except Exception:
            _log.exception("a query of %d bytes", len(query))  # one query must not end the service
            return None

    def _converse(self, connection: socket.socket, _address: str) -> None:
        connection.settimeout(_TCP_SECONDS)
        with connection.makefile("rb") as stream:
            while len(length := stream.read(_LENGTH.size)) == _LENGTH.size:
                (size,) = _LENGTH.unpack(length)
                query = stream.read(size) if size <= _MAX_QUERY else b""
                answer = self._answer_safely(query, udp=False) if query else None
                if answer is None:
                    return
                connection.sendall(_LENGTH.pack(len(answer)) + answer)


def _by_wildcard(zone: Zone, name: str) -> tuple[str, ...]:
    """Return the addresses of the nearest wildcard above a name; one covers any number of labels."""
    labels = name.split(".")
    forms = (f"*.{'.'.join(labels[start:])}" for start in range(1, len(labels)))
    return next((zone[form] for form in forms if form in zone), ())


def _reverse(zone: Zone, name: str) -> str | None:
    """Return the private name of the instance whose address a reverse name spells backwards."""
    if not name.endswith(_REVERSE):
        return None
    try:
        address = str(ipaddress.IPv4Address(".".join(reversed(name.removesuffix(_REVERSE).split(".")))))
    except ValueError:
        return None
    return next((known for known, found in zone.items() if known.startswith("ip-") and found == (address,)), None)


def _malformed(query: bytes) -> bytes | None:
    """Answer what has at least the header of a question with FORMERR."""
    header_bytes, qr_bit = 12, 0x80
    if len(query) < header_bytes or query[2] & qr_bit:
        return None
    flags = dns.flags.QR | (query[2] & dns.flags.RD >> 8) << 8 | dns.rcode.FORMERR
    return query[:2] + struct.pack(">5H", flags, 0, 0, 0, 0)
