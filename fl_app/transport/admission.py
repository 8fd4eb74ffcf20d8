"""Whom the aggregator admits, and until when: TLS version, certificate, roster, and what has been revoked since.

It knows of no message and holds no stream. Who does (:mod:`fl_app.transport.hub`) asks at three moments: when a stream
opens, when it greets, and of every open stream when credentials or roster have changed. The change comes first, then
the question, so that a stream is either asked about or greets under what is new. Nothing here is asked for a message.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import grpc
from cryptography import x509

from fl_app.errors import IdentityError
from fl_app.transport.audit import AuditLog
from fl_app.transport.events import Deliver, Expelled
from fl_app.transport.identity import Credentials, is_revoked, objection, peer_of

_log = logging.getLogger(__name__)

#: Streams of one site that may be open without a greeting.
UNGREETED_STREAMS = 3
_TLS_1_3 = b"TLSv1.3"
#: The code by which a site is told that it is not on the roster: it may be before long, so it knocks again.
_NOT_ON_ROSTER = grpc.StatusCode.FAILED_PRECONDITION


class Refusal(Exception):
    """A stream that is not admitted, or is ended, and why; the other side is told."""

    def __init__(self, code: grpc.StatusCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Admission:
    """Says who may have a stream. Safe to use from any thread; it waits for nothing but its own short lock.

    Attributes:
        credentials: the aggregator's own; whom it trusts, and what is revoked.
        roster: the sites that are admitted.
        refused: every refusal, whatever it is for: reason → times.
    """

    def __init__(self, credentials: Credentials, *, deliver: Deliver, audit: AuditLog | None) -> None:
        """Admit nobody yet.

        Args:
            credentials: the aggregator's own.
            deliver: told of every site whose certificate is revoked.
            audit: where refusals of sites are recorded.
        """
        self.credentials = credentials
        self.roster: frozenset[str] = frozenset()
        self.refused: Counter[str] = Counter()
        self._deliver, self._audit = deliver, audit
        self._served: Credentials | None = None
        self._ever_admitted: frozenset[str] = frozenset()
        self._ungreeted: Counter[str] = Counter()
        self._serials: dict[str, int] = {}
        self._lock = threading.Lock()

    def admit(self, roster: Iterable[str]) -> None:
        """Admit the sites of this roster from now on, and no others."""
        self.roster = frozenset(roster)
        self._ever_admitted |= self.roster

    def renew(self, credentials: Credentials) -> None:
        """Shake hands with other credentials from now on, and trust whom they trust."""
        self.credentials = credentials

    def handshake_with(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what to shake hands with; None where it is what gRPC has already. Called at every handshake."""
        own = self.credentials
        if own is self._served:
            return None
        self._served = own
        return grpc.ssl_server_certificate_configuration([(own.key, own.certificate)], root_certificates=own.authority)

    def opens(self, facts: Mapping[str, Sequence[bytes]], where: str) -> tuple[str, x509.Certificate]:
        """Return the site that opens a stream, and its certificate; the stream counts until :meth:`has_greeted`.

        Args:
            facts: what gRPC knows of the handshake, the context's ``auth_context()``.
            where: the address that it comes from.

        Raises:
            Refusal: it is not to be admitted.
        """
        denied = grpc.StatusCode.PERMISSION_DENIED
        if facts.get("ssl_tls_version") != [_TLS_1_3]:
            found = b"".join(facts.get("ssl_tls_version") or [b"none"]).decode()
            raise self.refusal(where, denied, f"TLS 1.3 is required, found {found}")
        pem = (facts.get("x509_pem_cert") or [b""])[0]
        try:
            peer = peer_of(pem)
        except IdentityError as error:
            raise self.refusal(where, denied, str(error)) from None
        own = self.credentials
        if peer.federation != own.peer.federation:
            reason = f"{peer.uri} is of another federation; this is {own.peer.federation}"
            raise self.refusal(where, denied, reason)
        if peer.role != "client":
            raise self.refusal(where, denied, f"{peer.uri} is not a client's certificate")
        if peer.node not in self.roster:
            raise self.refusal(where, _NOT_ON_ROSTER, f"{peer.node} is not on the roster")
        certificate = x509.load_pem_x509_certificate(pem)
        wrong, serial = objection(certificate, own), certificate.serial_number
        if wrong:
            if is_revoked(certificate, own) and self._serials.get(peer.node, serial) == serial:
                self._deliver(Expelled(peer.node))
            raise self.refusal(peer.node, grpc.StatusCode.UNAUTHENTICATED, wrong)
        with self._lock:
            too_many = self._ungreeted[peer.node] >= UNGREETED_STREAMS
            self._ungreeted[peer.node] += not too_many
        if too_many:
            reason = f"{UNGREETED_STREAMS} streams of this site wait for their greeting already"
            raise self.refusal(peer.node, grpc.StatusCode.UNAVAILABLE, reason)
        return peer.node, certificate

    def has_greeted(self, site: str) -> None:
        """Make room for another stream of a site: one has greeted, or was ended because it did not."""
        with self._lock:
            self._ungreeted[site] -= 1

    def greets(self, site: str, certificate: x509.Certificate) -> None:
        """Take a site's certificate for its last one.

        Raises:
            Refusal: credentials or roster have changed since the stream was opened.
        """
        wrong = self.against(site, certificate) if site in self.roster else self.removed(site)
        if wrong:
            raise wrong
        with self._lock:
            self._serials[site] = certificate.serial_number

    def against(self, site: str, certificate: x509.Certificate) -> Refusal | None:
        """Return why a stream that was admitted with this certificate is to end; None where it may go on."""
        wrong = objection(certificate, self.credentials)
        return self.refusal(site, grpc.StatusCode.UNAUTHENTICATED, wrong) if wrong else None

    def removed(self, site: str) -> Refusal:
        """Return why a stream ends whose site was taken from the roster."""
        return self.refusal(site, _NOT_ON_ROSTER, f"{site} is not on the roster any more")

    def expel(self) -> None:
        """Tell which sites' last certificates are revoked.

        Only the last one counts: whoever has the key of an older certificate must not put out the site that has a new.
        """
        with self._lock:
            revoked = [site for site, serial in self._serials.items() if serial in self.credentials.revoked]
        for site in revoked:
            if site in self.roster:
                self._deliver(Expelled(site))

    def serials(self) -> dict[str, str]:
        """Return the serial number, hexadecimal, of the certificate that each site had last."""
        with self._lock:
            return {site: f"{serial:x}" for site, serial in sorted(self._serials.items())}

    def remember(self, serials: Mapping[str, str]) -> None:
        """Know again which certificate each site had last, and expel those whose one is revoked by now."""
        with self._lock:
            self._serials = {site: int(serial, 16) for site, serial in serials.items()} | self._serials
        self.expel()

    def refusal(self, who: str, code: grpc.StatusCode, reason: str) -> Refusal:
        """Count, log and record a refusal, and return it.

        Args:
            who: a site, or the address that one comes from.
            code: what the other side is told besides the reason.
            reason: in words; refusals are counted by it.
        """
        self.refused[reason] += 1
        _log.warning("refused %s: %s", who, reason)
        if self._audit and who in self._ever_admitted:
            self._audit.note("refused", who, reason)
        return Refusal(code, reason)
