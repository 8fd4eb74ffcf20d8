"""The hub's side of a hand-over: is the peering really that site's, whose key is it, and what was answered before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from cryptography import x509

from infra.errors import FederateError, Problem
from infra.federation.model import Federation
from infra.handover.document import BadHandOver, HandOver
from infra.identity import RENEWED_IN_LAST, Authority, fits, key_name, serial
from infra.identity.requests import public_key

ANSWER = "federate-certificate/1"


class OtherKey(FederateError):
    """A site asks for a certificate of another key than the one that it had."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Answered:
    """The coordinator's answer: its text, and whether a certificate was signed for it now."""

    text: str
    is_new: bool


def check_peering(file: str, handed: HandOver, connections: Sequence[Mapping[str, Any]], hub_vpc: str) -> None:
    """Make sure that the peering that was handed over is one of that site with the hub.

    Args:
        file: the hand-over, for the error.
        handed: what is in it.
        connections: what the hub's account has under the id that was handed over, as EC2 describes it.
        hub_vpc: the hub's VPC.

    Raises:
        BadHandOver: with everything that does not fit.
    """
    peering = handed.values["PeeringId"]
    where = f"{file}  values.PeeringId"
    if not connections:
        raise BadHandOver(
            [
                Problem(
                    where,
                    f"the hub's account knows no peering {peering}.",
                    "",
                    "Has the site deployed with this hub's kit? Its SiteNetwork stack requests the peering.",
                )
            ]
        )
    found, node = connections[0], handed.node
    requester, accepter = found["RequesterVpcInfo"], found["AccepterVpcInfo"]
    ranges = {str(IPv4Network(one)) for one in _ranges(requester)}
    wrong = [
        (what, is_, due)
        for what, is_, due in (
            ("leads to the VPC", accepter.get("VpcId"), hub_vpc),
            ("comes from the account", requester["OwnerId"], node.account),
            ("comes from the Region", requester.get("Region", node.region), node.region),
            ("has the site's range", " ".join(sorted(ranges)), str(node.spec.cidr)),
            ("is", found["Status"]["Code"], "active"),
        )
        if is_ != due
    ]
    if wrong:
        remedy = f"It must be the peering that the kit of {node.id} requested. Who handed this over? Ask on the phone."
        raise BadHandOver(
            [Problem(where, f"{peering} {what} {is_}.", f"{due} is due.", remedy) for what, is_, due in wrong]
        )


def answer(handed: HandOver, federation: Federation, authority: Authority, kept: Path, *, renew: bool) -> Answered:
    """Sign the site's request, or give the answer again that was given before.

    Args:
        handed: what the site handed over.
        federation: says how long certificates live.
        authority: the coordinator's.
        kept: where the last answer to this site is kept.
        renew: another key than before is meant.

    Raises:
        OtherKey: the key is another one, and nobody said that this is meant.
        RequestRefused: the request is not this site's, or is no proper request.
        NodeRevoked: the site, or its key, was revoked.
    """
    request, node = handed.request.encode(), handed.node
    key = public_key(request, node)
    known = authority.certified_key(node)
    if known is not None and known != key_name(key) and not renew:
        raise OtherKey(
            f"{node.id} asks for a certificate of another key than the one that it had.",
            remedy="If its admin confirms that the node made a new key (ask on the phone): the same command with "
            "--renew. The old certificate is good until it expires: federate identity revoke takes it back.",
        )
    days = federation.security.certificate_days
    if _is_good(kept, handed, authority, days):
        return Answered(kept.read_text("utf-8"), is_new=False)
    signed = authority.sign(request, node, days=days)
    document = {
        "format": ANSWER,
        "federation": node.federation,
        "site": node.id,
        "serial": serial(x509.load_pem_x509_certificate(signed)),
        "certificate": signed.decode("ascii"),
        "authority": authority.bundle.decode("ascii"),
    }
    text = json.dumps(document, indent=1) + "\n"
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = kept.with_suffix(".part")
    part.write_text(text, "utf-8")
    part.replace(kept)
    return Answered(text, is_new=True)


def _is_good(kept: Path, handed: HandOver, authority: Authority, days: int) -> bool:
    """Say whether the last answer is still the answer: certificate and authorities are those of today."""
    try:
        told = json.loads(kept.read_text("utf-8"))
        certificate, trusted = str(told["certificate"]), str(told["authority"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return trusted == authority.bundle.decode("ascii") and fits(
        certificate.encode(),
        handed.request.encode(),
        authority.pem,
        handed.node,
        renew_within=timedelta(days=days * RENEWED_IN_LAST),
        revoked=authority.revoked.serials,
        now=datetime.now(UTC),
    )


def _ranges(vpc: Mapping[str, Any]) -> list[str]:
    found = [one["CidrBlock"] for one in vpc.get("CidrBlockSet", [])]
    return found or ([vpc["CidrBlock"]] if "CidrBlock" in vpc else [])
