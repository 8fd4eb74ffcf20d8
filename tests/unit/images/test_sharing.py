"""Which accounts lack the permission to launch the image that their nodes get, and which have it without a node."""

from __future__ import annotations

from typing import Any

import pytest
from fake_cloud import ACCOUNTS, PINNED, federation
from fake_images import FakeImages, ami

from infra.federation.derive import nodes
from infra.federation.model import Federation
from infra.images.sharing import EVERYBODY, Sharing, change, read

HUB, A, B = ACCOUNTS["aggregator"], ACCOUNTS["hospital-a"], ACCOUNTS["hospital-b"]
GONE = "999999999999"


def users(*accounts: str) -> list[dict[str, str]]:
    return [{"UserId": account} for account in accounts]


def known(launch: Any, **details: Any) -> FakeImages:
    return FakeImages({"us-east-1": [ami(PINNED, **details)]}, launch={PINNED: launch})


def look(accounts: FakeImages, of: Federation | None = None) -> Sharing:
    (found,) = read(of or federation(), accounts)  # type: ignore[arg-type]
    return found


def apply(accounts: FakeImages, *, revoke: bool = False) -> None:
    change(look(accounts), nodes(federation())[0], accounts, revoke=revoke)  # type: ignore[arg-type]


def test_a_site_that_has_joined_since_is_the_one_that_lacks_it() -> None:
    found = look(known(users(A)))
    assert (found.lacking, found.may, found.strangers) == ((B,), (A, HUB), ())
    assert f"is let launch it   {B} (hospital-b)" in found.text(revoke=False)


def test_where_every_site_has_it_nothing_is_lacking() -> None:
    assert look(known(users(A, B))).lacking == ()


def test_what_is_lacking_is_added_and_a_second_time_nothing_is_asked_for() -> None:
    accounts = known(users(A, GONE))
    apply(accounts)
    assert accounts.changed == [(PINNED, {"Add": users(B)})]
    apply(accounts)
    assert len(accounts.changed) == 1
    assert accounts.launch[PINNED] == users(A, GONE, B)


def test_an_account_of_no_node_is_named_and_keeps_it_until_that_is_asked_for() -> None:
    accounts = known(users(A, B, GONE))
    found = look(accounts)
    assert found.strangers == (GONE,)
    assert f"{GONE}, of no node; --revoke takes that away" in found.text(revoke=False)
    assert f"is let no longer   {GONE}" in found.text(revoke=True)
    apply(accounts)
    assert accounts.changed == []
    apply(accounts, revoke=True)
    assert accounts.changed == [(PINNED, {"Remove": users(GONE)})]


@pytest.mark.parametrize(
    "other", [{"Group": "all"}, {"OrganizationArn": "arn:aws:organizations::123456789012:organization/o-123example"}]
)
def test_whom_a_permission_names_besides_accounts_is_told_and_never_taken_away(other: dict[str, str]) -> None:
    accounts = known([*users(A, B), other])
    (told,) = look(accounts).others
    assert told in (EVERYBODY, other.get("OrganizationArn"))
    assert told in look(accounts).text(revoke=True)
    apply(accounts, revoke=True)
    assert accounts.changed == []


def test_an_image_that_is_everybodys_lacks_no_account() -> None:
    assert look(known([{"Group": "all"}])).lacking == ()


def test_an_image_of_another_account_is_left_to_its_owner() -> None:
    found = look(known([], OwnerId="444444444444"))
    assert (found.is_ours, found.lacking) == (False, ())
    assert "belongs to account 444444444444" in found.text(revoke=False)


def test_an_image_that_the_aggregators_account_does_not_see_is_no_reason_to_stop() -> None:
    found = look(FakeImages({"us-east-1": []}))
    assert (found.is_ours, found.owner, found.lacking) == (False, "", ())


def test_a_site_with_an_image_of_its_own_does_not_need_the_others() -> None:
    own = "ami-0123456789abcdef9"
    fed = federation()
    fed = fed.model_copy(
        update={"participants": (fed.participants[0], fed.participants[1].model_copy(update={"image": own}))}
    )
    accounts = FakeImages({"us-east-1": [ami(PINNED), ami(own, OwnerId=B)]})
    by_image = {one.image: one for one in read(fed, accounts)}  # type: ignore[arg-type]
    assert by_image[PINNED].lacking == (A,)
    assert by_image[own].lacking == ()


def test_an_account_with_two_nodes_is_named_once_with_both() -> None:
    fed = federation()
    fed = fed.model_copy(
        update={"participants": (fed.participants[0], fed.participants[1].model_copy(update={"account": A}))}
    )
    found = look(known([]), fed)
    assert found.lacking == (A,)
    assert found.whose(A) == f"{A} (hospital-a, hospital-b)"
