"""The example federation's nodes, an authority, and signing requests as right or wrong as a test needs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import NameOID

from infra.federation.derive import Node, nodes
from infra.federation.model import Federation
from infra.identity import Authority

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

CHECKOUT = Path(__file__).parents[3]

Ask = Callable[..., bytes]


@pytest.fixture(scope="session")
def all_nodes() -> tuple[Node, ...]:
    return nodes(Federation.model_validate(yaml.safe_load((CHECKOUT / "federation.yaml").read_text("utf-8"))))


@pytest.fixture
def hub(all_nodes: tuple[Node, ...]) -> Node:
    return all_nodes[0]


@pytest.fixture
def site(all_nodes: tuple[Node, ...]) -> Node:
    return all_nodes[1]


@pytest.fixture
def neighbour(all_nodes: tuple[Node, ...]) -> Node:
    return all_nodes[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "identity" / "eicu"


@pytest.fixture
def authority(folder: Path) -> Authority:
    return Authority.open(folder, "eicu")


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def ask(key: ec.EllipticCurvePrivateKey) -> Ask:
    """Make a signing request for a node: of another key, with other URIs or further names where a test says so."""

    def make(
        node: Node,
        *,
        key: CertificateIssuerPrivateKeyTypes = key,
        uris: Sequence[str] | None = None,
        dns: Sequence[str] = (),
    ) -> bytes:
        named = [f"federate://{node.federation}/{node.role}/{node.id}"] if uris is None else uris
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in named]
        names += [x509.DNSName(name) for name in dns]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "whoever")])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        digest = None if type(key).__name__.startswith("Ed") else hashes.SHA256()
        return builder.sign(key, digest).public_bytes(serialization.Encoding.PEM)

    return make
