"""One authority takes another's place in three steps, none of which a crash can leave half done."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from handshake import shake_hands

from infra.federation.derive import Node
from infra.identity import Authority, Phase, UnusableAuthority
from infra.identity.authority import WrongPhase

Ask = Callable[..., bytes]


class Crash(BaseException):
    """The process is gone: no handler of ours catches it."""


def issuer(certificate: bytes, *authorities: bytes) -> int:
    """Return which of these authorities has signed a certificate."""
    found = x509.load_pem_x509_certificate(certificate)
    for number, pem in enumerate(authorities):
        try:
            found.verify_directly_issued_by(x509.load_pem_x509_certificate(pem))
        except Exception:
            continue
        return number
    raise AssertionError("signed by none of them")


def test_the_next_one_is_trusted_first_then_signs_and_then_alone_is_trusted(
    authority: Authority, folder: Path, site: Node, ask: Ask
) -> None:
    old = authority.pem
    assert (authority.phase, authority.bundle) == (Phase.STEADY, old)
    authority.begin()
    assert authority.phase is Phase.BEGUN
    assert authority.pem == old
    first, new = x509.load_pem_x509_certificates(authority.bundle)
    assert first.public_bytes(Encoding.PEM) == old
    assert new.subject == first.subject
    assert new.public_key() != first.public_key()
    new_pem = new.public_bytes(Encoding.PEM)
    assert issuer(authority.sign(ask(site), site, days=90), old, new_pem) == 0
    authority.switch()
    assert (authority.phase, authority.pem) == (Phase.SWITCHED, new_pem)
    assert set(authority.trusted) == {first, new}
    assert issuer(authority.sign(ask(site), site, days=90), old, new_pem) == 1
    authority.finish()
    assert (authority.phase, authority.bundle) == (Phase.STEADY, new_pem)
    assert (folder / "certificate.pem").read_bytes() == new_pem
    assert not (folder / "next-key.pem").exists()


def test_each_step_may_be_repeated_and_is_seen_by_who_opens_the_folder_and_none_comes_before_its_time(
    authority: Authority, folder: Path
) -> None:
    with pytest.raises(WrongPhase, match="rotate-authority begin"):
        authority.switch()
    authority.finish()  # nothing to finish
    authority.begin()
    bundle = authority.bundle
    authority.begin()
    assert authority.bundle == bundle == Authority.open(folder, "eicu").bundle
    with pytest.raises(WrongPhase, match="rotate-authority switch"):
        authority.finish()
    authority.switch()
    authority.switch()
    assert authority.bundle == bundle
    with pytest.raises(WrongPhase, match="rotate-authority finish"):
        authority.begin()
    authority.finish()
    authority.finish()
    assert Authority.open(folder, "eicu").phase is Phase.STEADY
    authority.begin()  # and so on, as often as one likes
    assert authority.phase is Phase.BEGUN


def test_two_who_begin_at_once_begin_one_rotation(authority: Authority, folder: Path) -> None:
    other = Authority.open(folder, "eicu")
    authority.begin()
    other.begin()
    assert other.bundle == authority.bundle


def test_a_crash_at_any_step_leaves_an_authority_that_signs_and_the_rotation_goes_on(
    tmp_path: Path, site: Node, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, crashes = 0, 0
    while True:
        folder = tmp_path / str(step) / "eicu"
        authority = Authority.open(folder, "eicu")
        old, done = authority.pem, 0

        def crash_or(go_on: Callable[..., object], at: int = step) -> Callable[..., object]:
            def either(*arguments: object, **named: object) -> object:
                nonlocal done
                if done == at:
                    raise Crash
                done += 1
                return go_on(*arguments, **named)

            return either

        has_crashed = False
        with monkeypatch.context() as patched:
            for name in ("fsync", "replace", "unlink"):
                patched.setattr(os, name, crash_or(getattr(os, name)))
            try:
                authority.begin()
                authority.switch()
                authority.finish()
            except Crash:
                has_crashed = True
        again = Authority.open(folder, "eicu")
        trusted = [one.public_bytes(Encoding.PEM) for one in again.trusted]
        issuer(again.sign(ask(site), site, days=90), *trusted)  # what signs is always trusted
        if again.phase is Phase.STEADY and again.pem == old:
            again.begin()
        if again.phase is Phase.BEGUN:
            again.switch()
        again.finish()
        assert len(again.trusted) == 1
        assert again.pem != old
        names = {path.name for path in folder.iterdir()} - {"issued.jsonl"}
        assert {name for name in names if not name.startswith(".")} == {"key.pem", "certificate.pem"}
        if not has_crashed:
            break
        crashes, step = crashes + 1, step + 1
    assert crashes >= 10


def test_the_next_key_is_closed_to_others_as_well(authority: Authority, folder: Path) -> None:
    authority.begin()
    assert (folder / "next-key.pem").stat().st_mode & 0o777 == 0o600
    (folder / "next-key.pem").chmod(0o640)
    with pytest.raises(UnusableAuthority, match=r"chmod 600 .*next-key\.pem"):
        Authority.open(folder, "eicu")


def test_two_certificates_of_authorities_fit_into_a_parameter(tmp_path: Path) -> None:
    """The longest name of a federation that there can be; AWS's limit for a standard parameter is 4096 bytes."""
    authority = Authority.open(tmp_path / "long", "f" * 32)
    authority.begin()
    assert len(authority.trusted) == 2
    assert len(authority.bundle) < 4096 / 2


def enrol(folder: Path, authority: Authority, node: Node, ask: Ask, trusts: bytes) -> Path:
    """Write what a node has: its certificate of the authority that signs now, and whom it trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "certificate.pem").write_bytes(authority.sign(ask(node, key=key), node, days=90))
    (folder / "authority.pem").write_bytes(trusts)
    return folder


def test_at_each_step_of_a_rotation_nodes_that_followed_and_nodes_that_did_not_yet_can_talk(
    authority: Authority, hub: Node, site: Node, ask: Ask, tmp_path: Path
) -> None:
    """Both authorities bear one name: what tells them apart is the key's identifier."""
    old = authority.bundle
    authority.begin()
    both = authority.bundle
    hubs = {
        "before": enrol(tmp_path / "hub-0", authority, hub, ask, old),
        "begun": enrol(tmp_path / "hub-1", authority, hub, ask, both),
    }
    sites = {
        "before": enrol(tmp_path / "site-0", authority, site, ask, old),
        "begun": enrol(tmp_path / "site-1", authority, site, ask, both),
    }
    for server in hubs.values():
        for client in sites.values():
            shake_hands(server, client, hub.tls_name)
    authority.switch()
    hubs["switched"] = enrol(tmp_path / "hub-2", authority, hub, ask, both)
    sites["switched"] = enrol(tmp_path / "site-2", authority, site, ask, both)
    for server in (hubs["begun"], hubs["switched"]):
        for client in (sites["begun"], sites["switched"]):
            shake_hands(server, client, hub.tls_name)
    # Negative control: who skipped a step is left behind, which is why each step waits for every node.
    with pytest.raises(ssl.SSLError):
        shake_hands(hubs["switched"], sites["before"], hub.tls_name)
    authority.finish()
    last = enrol(tmp_path / "hub-3", authority, hub, ask, authority.bundle)
    shake_hands(last, sites["switched"], hub.tls_name)
    with pytest.raises(ssl.SSLError):
        shake_hands(last, sites["begun"], hub.tls_name)


def reaches(server: Path, client: Path, name: str) -> bool:
    """Say whether a client comes through to a server by gRPC, which has a TLS library of its own."""
    files = {
        role: [(folder / f"{one}.pem").read_bytes() for one in ("authority", "key", "certificate")]
        for role, folder in (("server", server), ("client", client))
    }
    roots, key, chain = files["server"]
    serving = grpc.server(ThreadPoolExecutor(1))
    port = serving.add_secure_port(
        "127.0.0.1:0", grpc.ssl_server_credentials([(key, chain)], roots, require_client_auth=True)
    )
    serving.start()
    options = [("grpc.ssl_target_name_override", name), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(*files["client"]), options) as channel:
        try:
            channel.unary_unary("/no/thing")(b"", timeout=10)
        except grpc.RpcError as error:
            return error.code() is grpc.StatusCode.UNIMPLEMENTED  # said by a server that let it in
        finally:
            serving.stop(None)
    return False


@pytest.mark.parametrize("is_turned", [False, True])
def test_grpc_tells_two_authorities_of_one_name_apart_in_either_order(
    authority: Authority, hub: Node, site: Node, ask: Ask, tmp_path: Path, is_turned: bool
) -> None:
    old = authority.bundle
    authority.begin()
    both = b"".join(one.public_bytes(Encoding.PEM) for one in authority.trusted[:: -1 if is_turned else 1])
    servers = [enrol(tmp_path / "hub-old", authority, hub, ask, both)]
    clients = [enrol(tmp_path / "site-old", authority, site, ask, both)]
    behind = enrol(tmp_path / "site-behind", authority, site, ask, old)
    authority.switch()
    servers.append(enrol(tmp_path / "hub-new", authority, hub, ask, both))
    clients.append(enrol(tmp_path / "site-new", authority, site, ask, both))
    for server in servers:
        for client in clients:
            assert reaches(server, client, hub.tls_name)
    assert not reaches(servers[1], behind, hub.tls_name)  # negative control
