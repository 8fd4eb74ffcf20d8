"""The hub's side of a hand-over: whose peering it is, whose key, and that the same twice is the same."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from handed_over import DATA
from signing_requests import request_of

from infra.federation.derive import nodes
from infra.federation.model import Federation
from infra.handover.document import BadHandOver, HandOver
from infra.handover.join import Answered, OtherKey, answer, check_peering
from infra.identity import Authority, NodeRevoked, RequestRefused

FED = Federation.model_validate(DATA)
NORTH, SOUTH = nodes(FED)[1:]
VPC, PEERING = "vpc-0aaaaaaaa", "pcx-0bbbbbbbb"
CONNECTION = {
    "VpcPeeringConnectionId": PEERING,
    "Status": {"Code": "active"},
    "AccepterVpcInfo": {"VpcId": VPC, "OwnerId": "909090909090", "Region": "us-east-1"},
    "RequesterVpcInfo": {
        "OwnerId": "717171717171",
        "Region": "us-east-1",
        "CidrBlock": "10.77.0.0/16",
        "CidrBlockSet": [{"CidrBlock": "10.77.0.0/16"}],
    },
}


def handed(request: str, node: Any = NORTH) -> HandOver:
    return HandOver(node, {"PeeringId": PEERING, "SiteSecurityGroupId": "sg-0cccccccc"}, "a" * 64, request)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open(tmp_path / "authority", "herz")


@pytest.fixture
def sign(authority: Authority, tmp_path: Path) -> Callable[..., Answered]:
    """Answer a request in the name of klinik-nord."""

    def run(request: str, *, renew: bool = False, node: Any = NORTH) -> Answered:
        return answer(handed(request, node), FED, authority, tmp_path / "kept" / f"{node.id}.json", renew=renew)

    return run


def test_the_peering_of_the_plan_is_taken() -> None:
    check_peering("f", handed(""), [CONNECTION], VPC)


def test_a_peering_that_the_hub_does_not_know_is_refused() -> None:
    with pytest.raises(BadHandOver, match=f"knows no peering {PEERING}"):
        check_peering("f", handed(""), [], VPC)


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("AccepterVpcInfo", "VpcId"), "vpc-0ddddddddd", f"{VPC} is due"),
        (("RequesterVpcInfo", "OwnerId"), "828282828282", "717171717171 is due"),
        (("RequesterVpcInfo", "Region"), "eu-west-3", "us-east-1 is due"),
        (("RequesterVpcInfo", "CidrBlockSet"), [{"CidrBlock": "10.78.0.0/16"}], "10.77.0.0/16 is due"),
        (("Status", "Code"), "pending-acceptance", "active is due"),
    ],
)
def test_a_peering_that_is_not_the_site_s_is_refused(where: tuple[str, str], value: Any, said: str) -> None:
    connection: dict[str, Any] = copy.deepcopy(CONNECTION)
    connection[where[0]][where[1]] = value
    with pytest.raises(BadHandOver, match=said):
        check_peering("f", handed(""), [connection], VPC)


def test_the_answer_holds_the_site_s_certificate_and_whom_to_trust(
    sign: Callable[..., Answered], authority: Authority
) -> None:
    told = json.loads(sign(request_of(NORTH)).text)
    certificate = x509.load_pem_x509_certificate(told["certificate"].encode())
    certificate.verify_directly_issued_by(authority.certificate)
    assert told["authority"].encode() == authority.bundle
    assert told["serial"] == f"{certificate.serial_number:x}"
    assert (told["federation"], told["site"], told["format"]) == ("herz", "klinik-nord", "federate-certificate/1")


def test_nothing_in_the_answer_is_secret(sign: Callable[..., Answered], tmp_path: Path) -> None:
    assert "PRIVATE" not in sign(request_of(NORTH)).text
    assert "PRIVATE" in (tmp_path / "authority" / "key.pem").read_text()


def test_the_same_hand_over_twice_gives_the_same_answer_and_signs_once(
    sign: Callable[..., Answered], tmp_path: Path
) -> None:
    request = request_of(NORTH)
    first, second = sign(request), sign(request)
    assert second == Answered(first.text, is_new=False)
    assert len((tmp_path / "authority" / "issued.jsonl").read_text().splitlines()) == 1


def test_another_key_must_be_meant(sign: Callable[..., Answered]) -> None:
    first = sign(request_of(NORTH))
    other = request_of(NORTH)
    with pytest.raises(OtherKey, match=r"another key(.|\n)*--renew"):
        sign(other)
    renewed = sign(other, renew=True)
    assert renewed.is_new
    assert renewed.text != first.text
    assert sign(other) == Answered(renewed.text, is_new=False)


def test_another_key_is_noticed_on_a_machine_that_has_not_kept_the_answer(
    sign: Callable[..., Answered], tmp_path: Path
) -> None:
    sign(request_of(NORTH))
    (tmp_path / "kept" / "klinik-nord.json").unlink()
    with pytest.raises(OtherKey):
        sign(request_of(NORTH))


def test_the_same_key_is_signed_anew_when_the_authority_has_changed(
    sign: Callable[..., Answered], authority: Authority
) -> None:
    request = request_of(NORTH)
    before = json.loads(sign(request).text)
    authority.begin()
    after = json.loads(sign(request).text)
    assert after["authority"].count("BEGIN CERTIFICATE") == 2
    assert before["authority"].count("BEGIN CERTIFICATE") == 1


def test_a_request_in_another_site_s_name_is_refused(sign: Callable[..., Answered]) -> None:
    with pytest.raises(RequestRefused, match="federate://herz/client/klinik-nord is due"):
        sign(request_of(SOUTH))


def test_a_key_of_another_kind_is_refused(sign: Callable[..., Answered]) -> None:
    weak: Any = ec.generate_private_key(ec.SECP256K1())
    with pytest.raises(RequestRefused, match="P-256 or P-384"):
        sign(request_of(NORTH, weak))


def test_a_request_that_was_changed_on_its_way_is_refused(sign: Callable[..., Answered]) -> None:
    lines = request_of(NORTH).splitlines()
    other = request_of(NORTH).splitlines()
    lines[-2] = other[-2]  # the signature's end
    with pytest.raises(RequestRefused):
        sign("\n".join(lines) + "\n")


def test_a_revoked_site_is_not_answered(sign: Callable[..., Answered], authority: Authority) -> None:
    request = request_of(NORTH)
    sign(request)
    authority.revoke("klinik-nord", reason="it has left")
    with pytest.raises(NodeRevoked, match="it has left"):
        sign(request)
