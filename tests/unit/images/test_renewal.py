"""What a renewal says before anything is written."""

from __future__ import annotations

from fake_cloud import federation

from infra.federation.images import Lock, LockedImage, Slot
from infra.images.renewal import changes

GPU = Slot("us-east-1", "x86_64", "gpu")
OLD = LockedImage("ami-00000001", "old", "333333333333", "ami-0000000a", "0.1.0", "2026-11-01")
NEW = LockedImage("ami-00000002", "new", "333333333333", "ami-0000000b", "0.2.0", "2026-11-02")
NODES = ("aggregator", "hospital-a", "hospital-b")
UNPINNED = federation().model_copy(update={"images": {}})


def test_every_thing_that_becomes_another_is_shown_with_both_and_the_nodes_that_it_is_for() -> None:
    (change,) = changes(UNPINNED, Lock({GPU: OLD}), {GPU: NEW})
    text = change.text()
    for was, will in (("ami-00000001", "ami-00000002"), ("ami-0000000a", "ami-0000000b"), ("0.1.0", "0.2.0")):
        assert f"{was} → {will}" in text
    assert "owner    333333333333\n" in text
    assert change.nodes == NODES
    assert text.endswith("federate replace aggregator hospital-a hospital-b")


def test_what_is_pinned_already_is_no_change() -> None:
    (change,) = changes(UNPINNED, Lock({GPU: NEW}), {GPU: NEW})
    assert not change.is_one


def test_nodes_with_an_image_in_the_file_are_not_concerned() -> None:
    (change,) = changes(federation(), Lock(), {GPU: NEW})
    assert change.nodes == ()
    assert "for no node" in change.text()
