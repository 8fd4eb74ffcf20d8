"""New keys, certificates and authorities at nodes that go on meanwhile: asked for, answered, and waited for."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from cryptography import x509

from infra.errors import FederateError
from infra.federation.model import Federation
from infra.identity import Authority, Phase, serial
from infra.identity.certificates import key_bytes
from infra.nodes.enrolment import enrol, names_of, refuse_other_authority
from infra.nodes.remote import Remote
from node_bootstrap import contract
from node_bootstrap.contract import Held

#: An agent looks every 2 s, its application within 2 s of that.
FOLLOW_SECONDS = 60.0
#: From an agent's word that it has taken something into use until its application has too, with a margin.
SETTLE_SECONDS = 5.0
_POLL_SECONDS = 0.5

#: Says of a node, by what its account holds, what it still lacks; empty if nothing.
Lacks = Callable[[Remote, Mapping[str, str]], str]


class NotFollowed(FederateError):
    """Nodes have not taken into use what they were given."""

    exit_code = 6


class NotEnrolled(FederateError):
    """A node has no certificate that could be rotated."""

    exit_code = 2


def ask(remote: Remote) -> str:
    """Have a node make a new key; one that was asked before and is not done goes on with that. Returns the rotation.

    Raises:
        NotEnrolled: it never had a certificate.
    """
    told = remote.parameters()
    if contract.CERTIFICATE not in told:
        raise NotEnrolled(
            f"{remote.node.id} has no certificate yet, so there is nothing to rotate.",
            remedy=f"federate deploy --only {remote.node.id}, or federate identity request {remote.node.id}.",
        )
    held = Held.read(told.get(contract.STATE))
    asked = told.get(contract.ROTATE)
    if asked is not None and contract.is_run_name(asked) and (held is None or held.rotation != asked):
        return asked
    rotation = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(2)}"
    remote.put(contract.ROTATE, rotation)
    return rotation


def wait_for_request(remote: Remote, rotation: str, *, timeout_seconds: float = FOLLOW_SECONDS) -> None:
    """Wait until a node has published the request for its new key, or has a certificate of it.

    Raises:
        NotFollowed: it does not in time.
    """

    def lacks(_: Remote, told: Mapping[str, str]) -> str:
        held = Held.read(told.get(contract.STATE))
        is_done = held is not None and held.rotation == rotation
        return "" if is_done or _has_new_key(told) else _why(told, "has not made its new key")

    wait_until_none_lacks([remote], lacks, remedy=_again(remote), timeout_seconds=timeout_seconds)


def rotate(
    remote: Remote,
    federation: Federation,
    authority: Authority,
    rotation: str,
    *,
    timeout_seconds: float = FOLLOW_SECONDS,
) -> None:
    """Answer a node that was asked for a new key, and wait until it uses the new certificate.

    Raises:
        NotFollowed: it does not in time; it goes on with the old pair.
    """

    def lacks(_: Remote, told: Mapping[str, str]) -> str:
        held = Held.read(told.get(contract.STATE))
        is_done = held is not None and held.rotation == rotation and held.serial == _serial_in(told)
        return "" if is_done else _why(told, "has not taken its new certificate; it goes on with the old one")

    wait_for_request(remote, rotation, timeout_seconds=timeout_seconds)
    wait_until_none_lacks(
        [remote],
        lacks,
        remedy=_again(remote),
        timeout_seconds=timeout_seconds,
        meanwhile=lambda: enrol(remote, federation, authority),
    )


def wait_until_refused(hub: Remote, serials: Collection[str], *, timeout_seconds: float = FOLLOW_SECONDS) -> None:
    """Wait until the hub's node refuses revoked certificates.

    Raises:
        NotFollowed: it does not in time; it will once it is up.
    """

    def lacks(_: Remote, told: Mapping[str, str]) -> str:
        held = Held.read(told.get(contract.STATE))
        if contract.CERTIFICATE not in told or (held is not None and held.revoked == len(serials)):
            return ""
        return _why(told, "does not refuse it yet; it is recorded, and stands in its account's parameters")

    wait_until_none_lacks(
        [hub],
        lacks,
        remedy="Is it up (federate status)? It takes it when it is; the same command waits for that.",
        timeout_seconds=timeout_seconds,
    )


def begin(chosen: Sequence[Remote], federation: Federation, authority: Authority, **timing: float) -> None:
    """Have all nodes trust the next authority beside the one that signs.

    Raises:
        NotFollowed: naming the nodes that do not yet.
        WrongPhase: the rotation before is not finished.
    """
    _refuse_strangers(chosen, authority)
    authority.begin()
    _bring(chosen, federation, authority, trusts_all(authority), "begin", **timing)


def switch(chosen: Sequence[Remote], federation: Federation, authority: Authority, **timing: float) -> None:
    """Have the next authority sign, and all nodes use a certificate of it.

    Raises:
        NotFollowed: naming the nodes that do not trust it yet, or have no certificate of it yet.
        WrongPhase: there is no next authority.
    """
    if authority.phase is Phase.BEGUN:
        _refuse_laggards(enrolled(chosen, authority), trusts_all(authority), "begin")
    authority.switch()
    _bring(chosen, federation, authority, has_certificate_of(authority), "switch", **timing)


def finish(chosen: Sequence[Remote], federation: Federation, authority: Authority, **timing: float) -> None:
    """Have all nodes trust the authority that signs and no other.

    Raises:
        NotFollowed: naming the nodes that have no certificate of it yet, or trust the old one still.
        WrongPhase: the next authority does not sign yet.
    """
    if authority.phase is Phase.SWITCHED:
        _refuse_laggards(enrolled(chosen, authority), has_certificate_of(authority), "switch")
    authority.finish()
    _bring(chosen, federation, authority, trusts_all(authority), "finish", **timing)


def trusts_all(authority: Authority) -> Lacks:
    """Return the check whether a node trusts what it is to trust now, and nothing else."""
    wanted = names_of(authority.bundle.decode("ascii"))

    def lacks(_: Remote, told: Mapping[str, str]) -> str:
        held = Held.read(told.get(contract.STATE))
        found = held.trusts if held else ()
        if set(found) == set(wanted):
            return ""
        return _why(told, f"trusts {' '.join(found) or 'none'}; {' '.join(wanted)} is due")

    return lacks


def has_certificate_of(authority: Authority) -> Lacks:
    """Return the check whether a node uses a certificate of the authority that signs now."""
    issuer = authority.certificate

    def lacks(_: Remote, told: Mapping[str, str]) -> str:
        held = Held.read(told.get(contract.STATE))
        try:
            certificate = x509.load_pem_x509_certificate(told[contract.CERTIFICATE].encode())
            certificate.verify_directly_issued_by(issuer)
        except Exception:  # whatever it is, it is no certificate of this authority
            return "has no certificate of the new authority"
        if held is not None and held.serial == serial(certificate):
            return ""
        return _why(told, "has not taken its certificate of the new authority")

    return lacks


def wait_until_none_lacks(
    chosen: Sequence[Remote],
    lacks: Lacks,
    *,
    remedy: str,
    timeout_seconds: float,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Wait for nodes.

    Raises:
        NotFollowed: naming each node that lacks something still, and what.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        meanwhile()
        behind = {remote.node.id: lacks(remote, remote.parameters()) for remote in chosen}
        behind = {id_: why for id_, why in behind.items() if why}
        if not behind:
            return
        if time.monotonic() >= deadline:
            raise NotFollowed("\n".join(f"{id_} {why}." for id_, why in behind.items()), remedy=remedy)
        time.sleep(_POLL_SECONDS)


def enrolled(chosen: Sequence[Remote], authority: Authority) -> list[Remote]:
    """Return the nodes that a rotation of the authority concerns: those with a certificate that are not revoked."""
    barred = authority.revoked.barred
    return [one for one in chosen if one.node.id not in barred and contract.CERTIFICATE in one.parameters()]


def _bring(
    chosen: Sequence[Remote],
    federation: Federation,
    authority: Authority,
    lacks: Lacks,
    step: str,
    *,
    timeout_seconds: float = FOLLOW_SECONDS,
    settle_seconds: float = SETTLE_SECONDS,
) -> None:
    concerned = enrolled(chosen, authority)

    def meanwhile() -> None:
        for remote in concerned:
            enrol(remote, federation, authority)

    wait_until_none_lacks(concerned, lacks, remedy=_how(step), timeout_seconds=timeout_seconds, meanwhile=meanwhile)
    time.sleep(settle_seconds)  # the agents have it; their applications look by themselves


def _refuse_laggards(concerned: Sequence[Remote], lacks: Lacks, step: str) -> None:
    wait_until_none_lacks(concerned, lacks, remedy=_how(step), timeout_seconds=0.0)


def _refuse_strangers(chosen: Sequence[Remote], authority: Authority) -> None:
    for remote in chosen:
        refuse_other_authority(remote, remote.parameters(), authority)


def _has_new_key(told: Mapping[str, str]) -> bool:
    try:
        request = x509.load_pem_x509_csr(told[contract.REQUEST].encode())
        certificate = x509.load_pem_x509_certificate(told[contract.CERTIFICATE].encode())
    except (KeyError, ValueError):
        return False
    return key_bytes(request) != key_bytes(certificate)


def _serial_in(told: Mapping[str, str]) -> str:
    try:
        return serial(x509.load_pem_x509_certificate(told[contract.CERTIFICATE].encode()))
    except (KeyError, ValueError):
        return ""


def _why(told: Mapping[str, str], what: str) -> str:
    held = Held.read(told.get(contract.STATE))
    if held is None:
        return f"{what} (it tells nothing of its identity: is its node up?)"
    return f"{what} ({held.problem})" if held.problem else what


def _how(step: str) -> str:
    return (
        f"Is the node up (federate status)? Then the same again goes on: federate identity rotate-authority {step}. A "
        "node whose account you cannot reach: --by-hand NODE (docs/identity.md)."
    )


def _again(remote: Remote) -> str:
    return f"Is it up (federate status)? The same again goes on: federate identity rotate {remote.node.id}."
