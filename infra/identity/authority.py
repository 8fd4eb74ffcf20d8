"""The certificate authority of one federation."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from infra.errors import FederateError
from infra.federation.derive import AGGREGATOR_ID, Node
from infra.identity import folder as kept
from infra.identity.certificates import authority_name, key_bytes, of_authority, of_node, serial
from infra.identity.folder import ISSUED, REVOKED, UnusableAuthority, read_or_make, record, renewal
from infra.identity.requests import PublicKey, RequestRefused, public_key, uri
from infra.identity.revocation import Issued, NodeRevoked, NothingToRevoke, Revoked, admission, revocation

_SERIAL = re.compile(r"(?:0x)?([0-9a-fA-F]{8,40})")


class Phase(StrEnum):
    """How far a rotation of the authority is."""

    STEADY = "steady"
    BEGUN = "begun"
    SWITCHED = "switched"


class WrongPhase(FederateError):
    """A step of the authority's rotation was asked for before the one that comes first."""

    exit_code = 2


class Authority:
    """Signs the requests of one federation's nodes; :meth:`open` makes or reads it."""

    def __init__(
        self,
        folder: Path,
        federation: str,
        key: ec.EllipticCurvePrivateKey,
        trusted: list[x509.Certificate],
        next_key: ec.EllipticCurvePrivateKey | None,
    ) -> None:
        self._folder = folder
        self._federation = federation
        self._key = key
        self._trusted = trusted
        self._next_key = next_key

    @classmethod
    def open(cls, folder: Path, federation: str, *, now: datetime | None = None) -> Authority:
        """Read the federation's authority, or make it where there is none.

        Args:
            folder: the authority's alone; holds key.pem, certificate.pem, issued.jsonl and revoked.jsonl.
            federation: the federation's name.
            now: the time; the clock's if left out.

        Raises:
            UnusableAuthority: a file is missing, unreadable or open to others, key and certificate do not fit, the
                authority is of another federation, or it is not valid now.
        """
        now = now or datetime.now(UTC)
        key_pem, certificate_pem = read_or_make(folder, lambda: _new(federation, now))
        key, trusted = _key(folder, key_pem), _certificates(folder, certificate_pem)
        if key_bytes(key) not in map(key_bytes, trusted):
            raise UnusableAuthority(
                f"{folder}: certificate.pem is not the certificate of key.pem.", remedy=renewal(folder)
            )
        for certificate in trusted:
            names = [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
            if names != [authority_name(federation)]:
                raise UnusableAuthority(
                    f"{folder} is of {' '.join(names) or 'nobody'!r}; {authority_name(federation)!r} is due.",
                    remedy="Each federation has an authority of its own: give it a folder of its own.",
                )
        next_pem = kept.read_next_key(folder)
        authority = cls(folder, federation, key, trusted, _key(folder, next_pem) if next_pem else None)
        authority._refuse_unless_valid(now)
        return authority

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return self._folder

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate of the key that signs now."""
        own = key_bytes(self._key)
        return next(one for one in self._trusted if key_bytes(one) == own)

    @property
    def pem(self) -> bytes:
        """The certificate of the key that signs now, PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def trusted(self) -> tuple[x509.Certificate, ...]:
        """The certificates that every node is to trust now: one, or two while the authority is rotated."""
        return tuple(self._trusted)

    @property
    def bundle(self) -> bytes:
        """The certificates that every node is to trust now, PEM, one after the other."""
        return b"".join(one.public_bytes(Encoding.PEM) for one in self._trusted)

    @property
    def revoked(self) -> Revoked:
        """What was revoked until now."""
        return Revoked.read(self._folder)

    def sign(self, request_pem: bytes, node: Node, *, days: int, now: datetime | None = None) -> bytes:
        """Check a node's request and return its certificate, PEM, once it stands in issued.jsonl.

        Args:
            request_pem: PKCS #10, PEM.
            node: in whose name; the certificate bears its names whatever else the request asks for.
            days: lifetime; the certificate never outlives the authority.
            now: the time; the clock's if left out.

        Raises:
            RequestRefused: the request is not this node's, or is no proper request.
            NodeRevoked: the node or its key was revoked.
            UnusableAuthority: the authority is not valid now, or the list cannot be written.
        """
        now = now or datetime.now(UTC)
        if node.federation != self._federation:
            raise RequestRefused(
                f"{node.id} is a node of {node.federation}; this authority signs for {self._federation} only.",
                remedy="Open the authority of that federation.",
            )
        self._refuse_unless_valid(now)
        key = public_key(request_pem, node)
        self._refuse_revoked(node, key)
        certificate = of_node(key, node, self.certificate, self._key, days=days, now=now)
        entry = {
            "serial": serial(certificate),
            "node": node.id,
            "uri": uri(node),
            "not_after": certificate.not_valid_after_utc.isoformat(),
            "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
            "key": key_name(key),
            "issuer": self.certificate.fingerprint(hashes.SHA256()).hex(),
        }
        record(self._folder, ISSUED, entry, otherwise=f"the certificate of {node.id} was not given out")
        return certificate.public_bytes(Encoding.PEM)

    def certified_key(self, node: Node, now: datetime | None = None) -> str | None:
        """Return what names the key of a node's newest certificate that is still valid; None if it has none."""
        now = now or datetime.now(UTC)
        found = [one.key for one in Issued.read(self._folder) if one.node == node.id and one.not_after > now]
        return found[-1] if found else None

    def revoke(self, what: str, *, reason: str, now: datetime | None = None) -> list[Issued]:
        """Revoke all certificates of a node, and bar it; or one certificate by its serial number, and its key.

        Args:
            what: a site's id, or a serial number, hexadecimal.
            reason: why; it stands in revoked.jsonl.
            now: the time; the clock's if left out.

        Returns:
            The certificates that are revoked now by this, or were already.

        Raises:
            NothingToRevoke: none was issued, or it is the aggregator's, whom no site would ask.
            UnusableAuthority: the list cannot be written.
        """
        now = now or datetime.now(UTC)
        issued = [one for one in Issued.read(self._folder) if one.not_after > now]
        number = _SERIAL.fullmatch(what)
        wanted = number[1].lower().lstrip("0") if number else None
        found = [one for one in issued if one.node == what or one.serial == wanted]
        if not found:
            raise NothingToRevoke(
                f"{self._folder / ISSUED} has no certificate of {what!r} that is still valid.",
                remedy="Name a site, or a serial number as federate identity show tells it.",
            )
        is_node = any(one.node == what for one in found)
        node = found[0].node
        if node == AGGREGATOR_ID:
            raise NothingToRevoke(
                "Sites keep no list of revoked certificates: the aggregator's cannot be taken from it that way.",
                remedy="federate identity rotate aggregator, then federate identity rotate-authority begin, switch and "
                "finish: then no site takes the old one any more.",
            )
        revoked = self.revoked
        if not {one.serial for one in found} <= revoked.serials or (is_node and node not in revoked.barred):
            entry = revocation(node, found, bars=is_node, reason=reason, now=now)
            record(self._folder, REVOKED, entry, otherwise=f"{what} is not revoked")
        return found

    def admit(self, node: str, now: datetime | None = None) -> None:
        """Let a revoked node ask for a certificate again; with a new key, for what was revoked stays so.

        Raises:
            NothingToRevoke: the node is not revoked.
            UnusableAuthority: the list cannot be written.
        """
        if node not in self.revoked.barred:
            raise NothingToRevoke(f"{node} is not revoked.", remedy="federate identity show lists the nodes.")
        record(self._folder, REVOKED, admission(node, now or datetime.now(UTC)), otherwise=f"{node} is not admitted")

    def refused_serials(self, told: frozenset[str] = frozenset(), now: datetime | None = None) -> frozenset[str]:
        """Return the serial numbers that the hub must refuse.

        What ended by itself is left out: expired certificates, and those of an authority that is trusted no more.

        Args:
            told: what the hub was told to refuse so far; what this folder does not know stays refused.
            now: the time; the clock's if left out.
        """
        now = now or datetime.now(UTC)
        trusted = {"", *(one.fingerprint(hashes.SHA256()).hex() for one in self._trusted)}
        over = {one.serial for one in Issued.read(self._folder) if one.not_after <= now or one.issuer not in trusted}
        return (self.revoked.serials | told) - over

    @property
    def phase(self) -> Phase:
        """How far a rotation of the authority is, as its files tell."""
        if len(self._trusted) == 1:
            return Phase.STEADY
        return Phase.SWITCHED if self._next_key is None else Phase.BEGUN

    def begin(self, now: datetime | None = None) -> None:
        """Make the next authority, to be trusted beside this one; it signs nothing yet. Goes on where it ended.

        Raises:
            WrongPhase: the rotation before is not finished.
        """
        with kept.alone(self._folder):
            self._read_again()
            if self.phase is Phase.SWITCHED:
                raise WrongPhase(
                    "The authority's last rotation is not finished: the one before is still trusted.",
                    remedy="federate identity rotate-authority finish",
                )
            if self.phase is Phase.BEGUN:
                return
            key = self._next_key
            if key is None:
                key = ec.generate_private_key(ec.SECP256R1())
                kept.put_next_key(self._folder, _key_pem(key))
            certificate = of_authority(key, self._federation, now or datetime.now(UTC))
            kept.put_certificates(self._folder, self.bundle + certificate.public_bytes(Encoding.PEM))
            self._read_again()

    def switch(self) -> None:
        """Let the next authority sign from now on; the key of the one before is gone.

        Raises:
            WrongPhase: there is no next authority.
        """
        with kept.alone(self._folder):
            self._read_again()
            if self.phase is Phase.STEADY:
                raise WrongPhase(
                    "There is no next authority to switch to.", remedy="federate identity rotate-authority begin"
                )
            if self.phase is Phase.BEGUN:
                kept.take_next_key(self._folder)
                self._read_again()

    def finish(self) -> None:
        """Trust the authority that signs now and no other.

        Raises:
            WrongPhase: the next authority does not sign yet.
        """
        with kept.alone(self._folder):
            self._read_again()
            if self.phase is Phase.BEGUN:
                raise WrongPhase(
                    "The next authority does not sign yet: no node has a certificate of it.",
                    remedy="federate identity rotate-authority switch",
                )
            if self.phase is Phase.SWITCHED:
                kept.put_certificates(self._folder, self.pem)
                self._read_again()

    def _read_again(self) -> None:
        """See what another process has done meanwhile."""
        found = Authority.open(self._folder, self._federation)
        self._key, self._trusted, self._next_key = found._key, found._trusted, found._next_key

    def _refuse_revoked(self, node: Node, key: PublicKey) -> None:
        revoked = self.revoked
        if node.id in revoked.barred:
            raise NodeRevoked(
                f"{node.id} was revoked ({revoked.barred[node.id]}); it gets no certificate.",
                remedy=f"If it may take part again: federate identity admit {node.id}. If not, take it out of the "
                "federation's file, or name the other nodes in the command.",
            )
        if key_name(key) in revoked.keys:
            raise NodeRevoked(
                f"{node.id} asks for a certificate of a key that was revoked.",
                remedy=f"It needs a new key: federate identity rotate {node.id}.",
            )

    def _refuse_unless_valid(self, now: datetime) -> None:
        begins, ends = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        if not begins <= now < ends:
            raise UnusableAuthority(
                f"The authority in {self._folder} is valid from {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC; "
                f"now is {now:%Y-%m-%d %H:%M}.",
                remedy="Set this machine's clock; or move the folder away, so that a new authority is made and every "
                "node enrols anew (federate identity start-over).",
            )


def _new(federation: str, now: datetime) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    return _key_pem(key), of_authority(key, federation, now).public_bytes(Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def key_name(key: PublicKey) -> str:
    """Return what names a public key in the authority's lists: the SHA-256 of its DER form."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _key(folder: Path, pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _damaged(folder) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UnusableAuthority(f"{folder}: key.pem is not an ECDSA key.", remedy=renewal(folder))
    return key


def _certificates(folder: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise _damaged(folder) from None


def _damaged(folder: Path) -> UnusableAuthority:
    return UnusableAuthority(
        f"{folder}: key.pem is not a private key in PEM, or certificate.pem is not a certificate in PEM.",
        remedy=renewal(folder),
    )
