"""The twin's authority vouches for the names of AWS's services, to who asks by name, and for nothing else."""

import os
import socket
import ssl
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from served import served

from infra.local.twin.services.authority import TwinAuthority, UnusableTwinAuthority
from infra.local.twin.services.names import host_names
from infra.local.twin.services.serving import serve_connections

SSM = host_names("ssm", "us-east-1")
S3 = host_names("s3", "us-east-1")


def saying_ok(context: ssl.SSLContext) -> Callable[[socket.socket], None]:
    def secure(connection: socket.socket) -> ssl.SSLSocket:
        return context.wrap_socket(connection, server_side=True)

    return lambda listener: serve_connections(listener, lambda sock, _: sock.sendall(b"ok"), wrap=secure)


def hear(port: int, name: str | None, ca: Path, *, version: ssl.TLSVersion | None = None) -> bytes:
    """Connect as a client that verifies and return what the server says."""
    context = ssl.create_default_context(cafile=str(ca))
    context.check_hostname = name is not None
    if version is not None:
        context.minimum_version = context.maximum_version = version
    plain = socket.create_connection(("127.0.0.1", port))
    with plain, context.wrap_socket(plain, server_hostname=name) as secure:
        return secure.recv(10)


@pytest.fixture
def authority(tmp_path: Path) -> TwinAuthority:
    return TwinAuthority.load_or_make(tmp_path / "authority")


@pytest.mark.parametrize(
    ("names", "name"),
    [(SSM, SSM[0]), (S3, "s3.amazonaws.com"), (S3, "bucket.s3.us-east-1.amazonaws.com"), (S3, S3[0].upper())],
)
def test_a_client_that_trusts_it_reaches_the_service(authority: TwinAuthority, names: tuple[str, ...], name: str):
    with served(saying_ok(authority.context_for(names))) as port:
        assert hear(port, name, authority.ca_path) == b"ok"


@pytest.mark.parametrize("name", ["logs.us-east-1.amazonaws.com", "a.b.s3.amazonaws.com", "example.org", None])
def test_who_asks_for_another_name_is_refused(authority: TwinAuthority, name: str | None):
    with (
        served(saying_ok(authority.context_for((*SSM, *S3)))) as port,
        pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"),
    ):
        hear(port, name, authority.ca_path)


def test_an_old_version_of_tls_is_refused(authority: TwinAuthority):
    assert authority.context_for(SSM).minimum_version == ssl.TLSVersion.TLSv1_2
    with served(saying_ok(authority.context_for(SSM))) as port:
        assert hear(port, SSM[0], authority.ca_path, version=ssl.TLSVersion.TLSv1_2) == b"ok"


def test_who_trusts_another_authority_refuses_the_service(authority: TwinAuthority, tmp_path: Path):
    other = TwinAuthority.load_or_make(tmp_path / "other")
    with served(saying_ok(authority.context_for(SSM))) as port, pytest.raises(ssl.SSLCertVerificationError):
        hear(port, SSM[0], other.ca_path)


def test_it_issues_nothing_outside_its_domain(authority: TwinAuthority):
    for name in ("example.org", "amazonaws.com.example.org", "notamazonaws.com"):
        with pytest.raises(ValueError, match="is not below"):
            authority.context_for([name])


def _context_signed_with_its_key(authority: TwinAuthority, name: str, folder: Path) -> ssl.SSLContext:
    """Issue a certificate as somebody who has stolen the authority's key."""
    issuer = x509.load_pem_x509_certificate(authority.ca_path.read_bytes())
    stolen = load_pem_private_key((authority.ca_path.parent / "authority-key.pem").read_bytes(), None)
    assert isinstance(stolen, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(stolen.public_key()), critical=False)
        .sign(stolen, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = folder / "forged.pem"
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_even_with_its_key_nobody_can_speak_for_another_domain(authority: TwinAuthority, tmp_path: Path):
    with (
        served(saying_ok(_context_signed_with_its_key(authority, "example.org", tmp_path))) as port,
        pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"),
    ):
        hear(port, "example.org", authority.ca_path)


def test_negative_control_the_same_forgery_within_the_domain_is_believed(authority: TwinAuthority, tmp_path: Path):
    with served(saying_ok(_context_signed_with_its_key(authority, "x.amazonaws.com", tmp_path))) as port:
        assert hear(port, "x.amazonaws.com", authority.ca_path) == b"ok"


def test_the_key_is_the_users_alone_and_the_certificate_everybodys(authority: TwinAuthority):
    folder = authority.ca_path.parent
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert modes == {"authority.pem": 0o644, "authority-key.pem": 0o600}


def test_a_strict_umask_does_not_hide_the_certificate(tmp_path: Path):
    before = os.umask(0o077)
    try:
        made = TwinAuthority.load_or_make(tmp_path / "strict")
    finally:
        os.umask(before)
    assert stat.S_IMODE(made.ca_path.stat().st_mode) == 0o644


def test_no_key_of_a_service_is_left_on_the_disk(authority: TwinAuthority):
    authority.context_for(SSM)
    assert {file.name for file in authority.ca_path.parent.iterdir()} == {"authority.pem", "authority-key.pem"}


def test_it_is_made_once_and_so_is_each_certificate(authority: TwinAuthority):
    again = TwinAuthority.load_or_make(authority.ca_path.parent)
    assert again.ca_path.read_bytes() == authority.ca_path.read_bytes()
    assert authority.context_for(SSM) is authority.context_for(list(SSM))


def test_one_that_ends_soon_is_made_anew(tmp_path: Path):
    long_ago = datetime.now(UTC) - timedelta(days=3000)
    before = TwinAuthority.load_or_make(tmp_path, now=long_ago).ca_path.read_bytes()
    assert TwinAuthority.load_or_make(tmp_path).ca_path.read_bytes() != before


@pytest.mark.parametrize("file", ["authority.pem", "authority-key.pem"])
def test_a_damaged_one_says_what_to_do(authority: TwinAuthority, file: str):
    (authority.ca_path.parent / file).write_bytes(b"damaged")
    with pytest.raises(UnusableTwinAuthority, match="start the twin again"):
        TwinAuthority.load_or_make(authority.ca_path.parent)


def test_a_key_of_another_is_noticed(authority: TwinAuthority, tmp_path: Path):
    other = TwinAuthority.load_or_make(tmp_path / "other").ca_path.parent
    (other / "authority-key.pem").replace(authority.ca_path.parent / "authority-key.pem")
    with pytest.raises(UnusableTwinAuthority, match="do not belong together"):
        TwinAuthority.load_or_make(authority.ca_path.parent)
