"""The node's key, made where it is used and never anywhere else, and the certificate that the coordinator signs.

Key, certificate, authorities and revocations make a *set*: a folder that is complete before anybody sees it and never
changes afterwards. ``tls`` is a link to the set in use, so that one rename takes a new one into use; the application
looks at it all the time. A new key waits, with its request, in ``pending``, until a certificate of it is there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from node_bootstrap.agent.facts import Facts
from node_bootstrap.contract import Held, authority_name, is_run_name

_KEY, _REQUEST, _CERTIFICATE, _AUTHORITY = "key.pem", "request.pem", "certificate.pem", "authority.pem"
_ROTATION, _REVOKED = "rotation", "revoked.json"
_PENDING = "pending"
_SET = re.compile(r"[0-9]+")

#: What the library raises for a certificate that is none, or one with a key or an extension that it does not know.
_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
)


class IdentityError(Exception):
    """The key on the state volume, or what was given as its certificate, cannot be used."""


@dataclass(frozen=True, slots=True)
class _Given:
    """A certificate that may be taken into use, with all authorities that are to be trusted."""

    certificate: x509.Certificate
    authorities: list[x509.Certificate]


class Identity:
    """The node's sets, and the link ``tls`` to the one in use, which the application reads.

    Args:
        folder: the link; the sets lie beside it.
        facts: who the node is.
    """

    def __init__(self, folder: Path, facts: Facts) -> None:
        self._link = folder
        self._sets = folder.with_name(f"{folder.name}.sets")
        self._facts = facts

    def request(self, rotation: str = "") -> str:
        """Return the signing request that is to be published, as PEM; key and request are made if need be.

        Args:
            rotation: names the rotation that the operator wants; a new one makes a new key, once.

        Raises:
            IdentityError: the key is there and cannot be read, and no rotation is wanted; or that is no name.
        """
        if rotation and not is_run_name(rotation):
            raise IdentityError("the parameter rotate does not name a rotation")
        self._recover()
        is_in_use = (self._link / _KEY).exists()
        used = _text(self._link / _ROTATION) if is_in_use else None
        pending = self._sets / _PENDING
        waits_for = _text(pending / _ROTATION) if (pending / _KEY).exists() else None
        is_wanted = bool(rotation) and rotation != used
        if waits_for is None and is_in_use and not is_wanted:
            return self._request_in_use()
        if waits_for is None or (is_wanted and rotation != waits_for):
            self._make_pending(rotation)
        else:
            _key_in(pending)  # one that cannot be read is told, not replaced in silence
        return (pending / _REQUEST).read_text("ascii")

    def install(self, certificate: str, authority: str, revoked: Iterable[str] | None = None) -> None:
        """Take what was given into use, all at once; does nothing if it is in use already.

        Args:
            certificate: of this node's key: the one in use, or the one that waits for it.
            authority: one authority's certificate or several, one of which has issued it.
            revoked: serial numbers of certificates to refuse; None leaves that as it is. The aggregator's only.

        Raises:
            IdentityError: it is of another key or another node, none of these authorities has issued it, or it is not
                valid now. What is in use stays.
        """
        self._recover()
        given = _given(certificate, authority)
        if self._facts.uri not in _uris(given.certificate):
            raise IdentityError(f"the certificate does not name {self._facts.uri}")
        source = self._source(given)
        files = {
            _KEY: (source / _KEY).read_bytes(),
            _REQUEST: (source / _REQUEST).read_bytes(),
            _CERTIFICATE: certificate.encode(),
            _AUTHORITY: authority.encode(),
            _ROTATION: _text(source / _ROTATION).encode(),
        }
        refused = self._refused()
        if revoked is not None and self._facts.role == "aggregator":
            refused = json.dumps(sorted(revoked)).encode()
        if refused is not None:
            files[_REVOKED] = refused
        if all(_bytes(self._link / name) == content for name, content in files.items()):
            return
        if _bytes(self._link / _CERTIFICATE) != files[_CERTIFICATE]:
            _refuse_unless_valid(given.certificate)
        self._take(files)

    def held(self) -> Held | None:
        """Return what is in use, as the node tells it; None where nothing is that can be read."""
        try:
            certificate = x509.load_pem_x509_certificate((self._link / _CERTIFICATE).read_bytes())
            authorities = x509.load_pem_x509_certificates((self._link / _AUTHORITY).read_bytes())
            revoked = json.loads(self._refused() or b"[]")
        except (OSError, *_UNREADABLE):
            return None
        trusts = tuple(authority_name(one.public_bytes(serialization.Encoding.DER)) for one in authorities)
        return Held(f"{certificate.serial_number:x}", trusts, _text(self._link / _ROTATION), len(revoked))

    def _request_in_use(self) -> str:
        key = _key_in(self._link)
        found = _text(self._link / _REQUEST)
        return found or self._new_request(key).decode("ascii")

    def _source(self, given: _Given) -> Path:
        """Return the folder whose key the certificate is of."""
        certified = _public(given.certificate.public_key())
        for folder in (self._sets / _PENDING, self._link):
            if (folder / _KEY).exists() and _public(_key_in(folder).public_key()) == certified:
                if not (folder / _REQUEST).exists():
                    _put(folder / _REQUEST, self._new_request(_key_in(folder)))
                return folder
        raise IdentityError("the certificate is of another key than this node's; its request is published anew")

    def _refused(self) -> bytes | None:
        return _bytes(self._link / _REVOKED)

    def _make_pending(self, rotation: str) -> None:
        """Make a key and its request; both are there or neither is."""
        key = ec.generate_private_key(ec.SECP256R1())
        encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        files = {
            _KEY: key.private_bytes(*encoding),
            _REQUEST: self._new_request(key),
            _ROTATION: rotation.encode(),
        }
        pending = self._sets / _PENDING
        made = self._folder_of(files)
        if pending.exists():  # of an earlier rotation; never used
            self._remove(pending)
        made.replace(pending)
        _sync(self._sets)

    def _take(self, files: Mapping[str, bytes]) -> None:
        """Make a set of these files and link to it."""
        made = self._folder_of(files)
        new = self._sets / str(max(self._numbers(), default=-1) + 1)
        made.replace(new)
        _sync(self._sets)
        self._link_to(new)
        self._recover()

    def _folder_of(self, files: Mapping[str, bytes]) -> Path:
        """Write files into a folder that nobody looks at yet."""
        self._sets.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = self._sets / ".new"
        if made.exists():  # from a crash
            shutil.rmtree(made)
        made.mkdir(mode=0o700)
        for name, content in files.items():
            _put(made / name, content)
        _sync(made)
        return made

    def _link_to(self, folder: Path) -> None:
        part = self._link.with_name(f".{self._link.name}.part")
        part.unlink(missing_ok=True)
        part.symlink_to(folder.relative_to(self._link.parent))
        part.replace(self._link)
        _sync(self._link.parent)

    def _recover(self) -> None:
        """Make good what a crash has left: no link to a complete set, a pending key that is in use, old sets."""
        self._adopt()
        if not self._link.is_symlink():
            complete = [number for number in self._numbers() if (self._sets / str(number) / _CERTIFICATE).exists()]
            if not complete:
                return
            self._link_to(self._sets / str(max(complete)))
        pending = self._sets / _PENDING
        if _bytes(pending / _KEY) is not None and _bytes(pending / _KEY) == _bytes(self._link / _KEY):
            self._remove(pending)
        current = self._link.readlink().name
        if not _SET.fullmatch(current):
            return
        # The one before stays: who has begun to read it can go on. A later one was never linked to.
        earlier = sorted(number for number in self._numbers() if number < int(current))
        later = [number for number in self._numbers() if number > int(current)]
        for number in [*earlier[:-1], *later]:
            self._remove(self._sets / str(number))

    def _remove(self, folder: Path) -> None:
        """Delete a folder so that at no time a part of it stands in its place."""
        gone = self._sets / ".gone"
        if gone.exists():  # from a crash
            shutil.rmtree(gone)
        folder.replace(gone)
        shutil.rmtree(gone)

    def _adopt(self) -> None:
        """Make a set of a folder ``tls``, as agents kept it before there were sets."""
        if self._link.is_symlink() or not self._link.is_dir():
            return
        self._sets.mkdir(exist_ok=True, mode=0o700)
        is_complete = all((self._link / name).exists() for name in (_KEY, _CERTIFICATE, _AUTHORITY))
        if not (self._link / _REQUEST).exists() and (self._link / _KEY).exists():
            _put(self._link / _REQUEST, self._new_request(_key_in(self._link)))
        if is_complete:
            self._link.replace(self._sets / "0")
        elif (self._link / _KEY).exists() and not (self._sets / _PENDING).exists():
            self._link.replace(self._sets / _PENDING)
        else:
            shutil.rmtree(self._link)

    def _numbers(self) -> list[int]:
        if not self._sets.is_dir():
            return []
        return [int(path.name) for path in self._sets.iterdir() if _SET.fullmatch(path.name)]

    def _new_request(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(self._facts.uri)])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._facts.node)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(names, critical=False)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _given(certificate: str, authority: str) -> _Given:
    try:
        found = x509.load_pem_x509_certificate(certificate.encode())
        authorities = x509.load_pem_x509_certificates(authority.encode())
        _uris(found)
        found.public_key()
    except _UNREADABLE as error:
        raise IdentityError(f"what was given as certificate cannot be read: {error}") from None
    if not any(_has_issued(one, found) for one in authorities):
        raise IdentityError("the certificate is of none of the authorities that came with it")
    return _Given(found, authorities)


def _has_issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _refuse_unless_valid(certificate: x509.Certificate) -> None:
    begins, ends, now = certificate.not_valid_before_utc, certificate.not_valid_after_utc, datetime.now(UTC)
    if not begins <= now < ends:
        raise IdentityError(
            f"the certificate is valid from {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC; by this node's clock "
            f"it is {now:%Y-%m-%d %H:%M}"
        )


def _uris(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _key_in(folder: Path) -> ec.EllipticCurvePrivateKey:
    path = folder / _KEY
    try:
        found = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise IdentityError(f"{path} cannot be used: {error}; federate identity rotate makes a new key here") from None
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise IdentityError(f"{path} is not the key of an elliptic curve, as this agent makes them")
    return found


def _public(key: object) -> bytes:
    encoded: bytes = key.public_bytes(  # type: ignore[attr-defined]  # every kind of public key has it
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _text(path: Path) -> str:
    return (_bytes(path) or b"").decode("utf-8", errors="replace")


def _put(path: Path, content: bytes) -> None:
    """Write a file that only the agent's user can read, in one durable step."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
