"""A site whose block is deleted from the file, in the order that is documented and in the other one."""

from __future__ import annotations

import json

from desk import Desk

FEDERATION = "federation.yaml"


def without_hospital_b(desk: Desk) -> None:
    file = desk.folder / FEDERATION
    file.write_text("".join(line for line in file.read_text().splitlines(True) if "hospital-b" not in line))


def test_a_site_that_leaves_in_order_leaves_nothing_and_touches_nobody(desk: Desk) -> None:
    desk.run("deploy", "--stacks-only")
    before = desk.client("hospital-a", "cloudformation").describe_stacks()["Stacks"]
    desk.run("destroy", "--only", "hospital-b")
    without_hospital_b(desk)
    _, said = desk.run("deploy", "--stacks-only")
    assert "Not in the federation's file" not in said
    after = desk.client("hospital-a", "cloudformation").describe_stacks()["Stacks"]
    assert [stack.get("LastUpdatedTime") for stack in after] == [stack.get("LastUpdatedTime") for stack in before]
    assert json.loads(desk.run("--json", "destroy")[0])["left"] == []


def test_a_site_whose_block_is_deleted_first_loses_its_way_in_and_is_named(desk: Desk) -> None:
    whole = (desk.folder / FEDERATION).read_text()
    desk.run("deploy", "--stacks-only")
    without_hospital_b(desk)
    _, said = desk.run("deploy", "--stacks-only")
    assert "fed-HubLink-hospital-b in account 333333333333" in said
    assert "fed-HubLink-hospital-b" not in desk.stacks("aggregator")
    assert "fed-SiteNode-hospital-b" in desk.stacks("hospital-b")  # another's account: the file names it no more
    (desk.folder / FEDERATION).write_text(whole)
    desk.run("destroy", "--only", "hospital-b")
    assert desk.stacks("hospital-b") == {}
    desk.run("destroy")


def test_a_federation_can_be_destroyed_after_a_block_was_deleted(desk: Desk) -> None:
    desk.run("deploy", "--stacks-only")
    without_hospital_b(desk)
    _, said = desk.run("destroy")
    assert "fed-HubLink-hospital-b" in said
    assert desk.stacks("aggregator") == {}
    assert desk.stacks("hospital-a") == {}
