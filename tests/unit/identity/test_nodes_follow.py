"""Nodes are enrolled, refused, rotated and led from one authority to the next by what stands in their own accounts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from following_nodes import FollowingNode

from infra.federation.derive import Node, authority_secret, nodes
from infra.federation.model import Federation
from infra.identity import Authority, NodeRevoked, Phase
from infra.identity.authority import WrongPhase
from infra.local.aws.iam_policy import allows
from infra.nodes import rotation
from infra.nodes.certified import certified
from infra.nodes.enrolment import (
    OtherAuthority,
    WrongCertificate,
    enrol,
    install,
    names_of,
    start_over,
    tell_revoked,
)
from infra.nodes.rotation import NotEnrolled, NotFollowed
from node_bootstrap import contract
from node_bootstrap.contract import Held
from stacks.permissions import node_permissions, policy

FILE = Path(__file__).parents[3] / "federation.yaml"
QUICK: dict[str, Any] = {"timeout_seconds": 2.0, "settle_seconds": 0.0}


@pytest.fixture
def federation() -> Federation:
    return Federation.model_validate(yaml.safe_load(FILE.read_text("utf-8")))


@pytest.fixture
def everybody(federation: Federation, authority: Authority, tmp_path: Path) -> list[Any]:
    """Three nodes that are enrolled."""
    made = [FollowingNode(node, tmp_path / node.id) for node in nodes(federation)]
    for one in made:
        assert enrol(one, federation, authority)
        one.parameters()
    return made


@pytest.fixture
def site(everybody: list[Any]) -> Any:
    return everybody[1]


def held(node: FollowingNode) -> Held:
    found = Held.read(node.parameters().get(contract.STATE))
    assert found is not None
    return found


def test_what_is_good_is_left_as_it_is(everybody: list[Any], federation: Federation, authority: Authority) -> None:
    before = [one.parameters() for one in everybody]
    for one in everybody:
        enrol(one, federation, authority)
    assert [one.parameters() for one in everybody] == before
    assert contract.REVOKED not in before[0]


def test_a_rotation_ends_with_another_key_and_leaves_the_others_alone(
    everybody: list[Any], site: Any, federation: Federation, authority: Authority
) -> None:
    before = [held(one) for one in everybody]
    name = rotation.ask(site)
    assert rotation.ask(site) == name  # a command that is repeated goes on with it
    rotation.rotate(site, federation, authority, name, timeout_seconds=2)
    after = [held(one) for one in everybody]
    assert after[1].rotation == name
    assert after[1].serial != before[1].serial
    assert (after[0], after[2]) == (before[0], before[2])
    assert rotation.ask(site) != name  # done: the next is another


def test_a_node_that_is_down_is_named_and_follows_when_it_is_up_again(
    site: Any, federation: Federation, authority: Authority
) -> None:
    before = held(site)
    site.is_up = False
    name = rotation.ask(site)
    with pytest.raises(NotFollowed, match=r"hospital-a has not made its new key(.|\n)*identity rotate hospital-a"):
        rotation.rotate(site, federation, authority, name, timeout_seconds=0)
    site.is_up = True
    assert rotation.ask(site) == name
    rotation.rotate(site, federation, authority, name, timeout_seconds=2)
    assert held(site).serial != before.serial


def test_a_node_without_a_certificate_has_nothing_to_rotate(federation: Federation, tmp_path: Path) -> None:
    node: Any = FollowingNode(nodes(federation)[1], tmp_path / "new")
    with pytest.raises(NotEnrolled, match="hospital-a has no certificate yet"):
        rotation.ask(node)


def test_the_authority_is_replaced_step_by_step_at_all_nodes(
    everybody: list[Any], federation: Federation, authority: Authority
) -> None:
    (old,) = held(everybody[0]).trusts
    rotation.begin(everybody, federation, authority, **QUICK)
    both = names_of(authority.bundle.decode())
    serials = [held(one).serial for one in everybody]
    assert all(held(one).trusts == both for one in everybody)
    rotation.switch(everybody, federation, authority, **QUICK)
    assert all(held(one).trusts == both for one in everybody)
    assert not {held(one).serial for one in everybody} & set(serials)
    rotation.finish(everybody, federation, authority, **QUICK)
    assert {held(one).trusts for one in everybody} == {(both[1],)}
    assert both[0] == old
    for step in (rotation.finish, rotation.finish):
        step(everybody, federation, authority, **QUICK)


def test_no_step_is_made_before_every_node_has_followed_the_one_before(
    everybody: list[Any], site: Any, federation: Federation, authority: Authority
) -> None:
    site.is_up = False
    for _ in range(2):
        with pytest.raises(NotFollowed, match="hospital-a trusts") as error:
            rotation.begin(everybody, federation, authority, timeout_seconds=0.2, settle_seconds=0)
    assert "hospital-b trusts" not in str(error.value)
    with pytest.raises(NotFollowed, match="hospital-a trusts"):
        rotation.switch(everybody, federation, authority, **QUICK)
    assert authority.phase is Phase.BEGUN
    site.is_up = True
    rotation.begin(everybody, federation, authority, **QUICK)
    site.is_up = False
    with pytest.raises(NotFollowed, match="hospital-a has not taken its certificate of the new authority"):
        rotation.switch(everybody, federation, authority, timeout_seconds=0.2, settle_seconds=0)
    with pytest.raises(NotFollowed, match="hospital-a has not taken its certificate of the new authority"):
        rotation.finish(everybody, federation, authority, **QUICK)
    assert authority.phase is Phase.SWITCHED
    with pytest.raises(WrongPhase):
        rotation.begin(everybody, federation, authority, **QUICK)
    site.is_up = True
    rotation.finish(everybody, federation, authority, **QUICK)
    assert len(held(site).trusts) == 1


def test_a_revoked_site_and_one_that_is_not_enrolled_hold_up_no_rotation_of_the_authority(
    everybody: list[Any], site: Any, federation: Federation, authority: Authority, tmp_path: Path
) -> None:
    authority.revoke("hospital-a", reason="why")
    site.is_up = False
    newcomer: Any = FollowingNode(everybody[2].node, tmp_path / "new")
    chosen = [everybody[0], site, newcomer]
    for step in (rotation.begin, rotation.switch, rotation.finish):
        step(chosen, federation, authority, **QUICK)
    assert len(held(everybody[0]).trusts) == 1
    enrol(newcomer, federation, authority)
    assert held(newcomer).trusts == held(everybody[0]).trusts


def test_what_is_revoked_comes_to_the_hub_alone_and_the_site_gets_no_certificate(
    everybody: list[Any], site: Any, federation: Federation, authority: Authority
) -> None:
    serial = held(site).serial
    enrol(site, federation, authority)  # negative control: before, all is well
    authority.revoke("hospital-a", reason="why")
    hub = everybody[0]
    assert tell_revoked(hub, hub.parameters(), authority) == {serial}
    rotation.wait_until_refused(hub, {serial}, timeout_seconds=2)
    assert json.loads((hub.tls / "revoked.json").read_text()) == [serial]
    with pytest.raises(NodeRevoked, match="hospital-a was revoked"):
        enrol(site, federation, authority)
    enrol(everybody[2], federation, authority)
    for one in everybody[1:]:
        assert contract.REVOKED not in one.parameters()
        assert not (one.tls / "revoked.json").exists()
    authority.admit("hospital-a")
    rotation.rotate(site, federation, authority, rotation.ask(site), timeout_seconds=2)
    assert held(site).serial != serial
    enrol(hub, federation, authority)
    hub.parameters()
    assert json.loads((hub.tls / "revoked.json").read_text()) == [serial]


def test_more_revocations_than_one_parameter_holds_come_to_the_hub_as_well(
    everybody: list[Any], federation: Federation, authority: Authority
) -> None:
    hub, other = everybody[0], everybody[2]
    for _ in range(100):
        authority.sign(other.parameters()[contract.REQUEST].encode(), other.node, days=90)
    authority.revoke(other.node.id, reason="why")
    enrol(hub, federation, authority)
    hub.parameters()
    assert set(json.loads((hub.tls / "revoked.json").read_text())) == authority.revoked.serials
    assert len(authority.revoked.serials) == 101
    for step in (rotation.begin, rotation.switch, rotation.finish):
        step(everybody[:2], federation, authority, **QUICK)
    enrol(hub, federation, authority)
    hub.parameters()
    assert json.loads((hub.tls / "revoked.json").read_text()) == []  # signed by an authority that nobody trusts


def test_an_authority_that_a_node_does_not_know_does_not_take_it_over_unasked(
    everybody: list[Any], site: Any, federation: Federation, tmp_path: Path
) -> None:
    other = Authority.open(tmp_path / "another", "eicu")
    before = site.parameters()
    with pytest.raises(OtherAuthority, match=r"hospital-a, account .* trusts the authority(.|\n)*identity fetch"):
        enrol(site, federation, other)
    assert site.parameters() == before
    with pytest.raises(OtherAuthority):
        rotation.begin(everybody, federation, other, **QUICK)
    assert other.phase is Phase.STEADY
    start_over(site)
    enrol(site, federation, other)
    assert held(site).trusts == names_of(other.bundle.decode())


def printed(authority: Authority, node: Any) -> str:
    """Return what ``federate identity sign`` prints."""
    signed = authority.sign(node.parameters()[contract.REQUEST].encode(), node.node, days=90)
    return (signed + authority.bundle).decode()


def test_by_hand_a_node_follows_a_rotation_of_the_authority_as_well(
    everybody: list[Any], site: Any, federation: Federation, authority: Authority
) -> None:
    reached = [everybody[0], everybody[2]]
    for step in (rotation.begin, rotation.switch, rotation.finish):
        step(reached, federation, authority, **QUICK)
        install(site, printed(authority, site))
        assert held(site).trusts == names_of(authority.bundle.decode())
    assert {held(one).trusts for one in everybody} == {held(site).trusts}


def test_what_is_no_certificate_of_the_node_with_its_authorities_is_not_installed(
    everybody: list[Any], site: Any, authority: Authority, tmp_path: Path
) -> None:
    before, whole = site.parameters(), printed(authority, site)
    alone = whole.partition("-----END CERTIFICATE-----\n")[0] + "-----END CERTIFICATE-----\n"
    stranger = Authority.open(tmp_path / "another", "eicu").bundle.decode()
    for text, why in (
        ("", "no file of certificates"),
        ("nonsense", "no file of certificates"),
        (alone, "at least one authority's"),
        (alone + stranger, "of none of the authorities"),
        (authority.bundle.decode() + alone, "of none of the authorities"),
        (printed(authority, everybody[2]), "not of the key that hospital-a asks for"),
    ):
        with pytest.raises(WrongCertificate, match=why):
            install(site, text)
        assert site.parameters() == before
    install(site, whole)
    assert held(site).serial == f"{x509.load_pem_x509_certificate(alone.encode()).serial_number:x}"


def test_certificates_are_shown_as_they_are_and_whether_they_are_in_use(site: Any, authority: Authority) -> None:
    found = certified(site.parameters(), ())
    assert found is not None
    assert (found.serial, found.state, found.in_use) == (held(site).serial, "good", True)
    assert found.document()["trusts"] == list(names_of(authority.bundle.decode()))
    site.is_up = False
    site.put(contract.CERTIFICATE, printed(authority, site))
    later = certified(site.parameters(), {found.serial})
    assert later is not None
    assert (later.state, later.in_use) == ("good", False)
    revoked = certified(site.parameters(), {later.serial})
    assert revoked is not None
    assert revoked.state == "revoked"
    assert certified({}, ()) is None
    assert certified({contract.CERTIFICATE: "nonsense"}, ()) is None


def test_no_private_key_ever_stands_in_a_parameter(
    everybody: list[Any], federation: Federation, authority: Authority
) -> None:
    for step in (rotation.begin, rotation.switch, rotation.finish):
        step(everybody, federation, authority, **QUICK)
    texts = [text for one in everybody for text in (*one.account.told.values(), *(v for _, v in one.account.published))]
    assert len(texts) > 12
    assert not [text for text in texts if "PRIVATE" in text]


def test_the_authority_s_secret_is_out_of_every_node_s_reach(all_nodes: tuple[Node, ...]) -> None:
    for node in all_nodes:
        statements = node_permissions(node, "arn:aws:s3:::b")["secretsmanager"]
        prefix = f"arn:aws:secretsmanager:{node.region}:{node.account}:secret:"
        action = "secretsmanager:GetSecretValue"
        assert not allows([policy(*statements)], action, f"{prefix}{authority_secret('eicu')}-AbCdEf", {})
        # Negative control: the same check allows what is the node's own.
        assert allows([policy(*statements)], action, f"{prefix}{node.secret_prefix}/x-AbCdEf", {})
