"""Which image is the newest, and which images are refused before they are pinned."""

from __future__ import annotations

from typing import Any

import pytest
from fake_cloud import federation
from fake_images import FakeImages, ami

from infra.federation.derive import nodes
from infra.federation.images import Slot
from infra.images.found import Images, NoSuchImage, UnfitImage

GPU = Slot("us-east-1", "x86_64", "gpu")
ID = "ami-0123456789abcdef0"
OURS = {"federate:image-of": "fed", "federate:kind": "gpu", "federate:version": "0.1.0"}


def images(*known: Any, region: str = "us-east-1") -> Images:
    return Images(nodes(federation())[0], FakeImages({region: list(known)}))  # type: ignore[arg-type]


def test_the_newest_of_the_pipeline_is_found_with_where_it_comes_from() -> None:
    old = ami("ami-00000001", tags=OURS, CreationDate="2026-11-01T00:00:00.000Z")
    new = ami(ID, tags=OURS, CreationDate="2026-11-02T00:00:00.000Z", SourceImageId="ami-0000000a")
    found = images(new, old, ami("ami-0000000a", Name="Deep Learning Base", OwnerId="898082745236")).newest(GPU)
    assert found is not None
    assert (found.image, found.owner, found.federate) == (ID, "333333333333", "0.1.0")
    assert found.parent == "ami-0000000a (Deep Learning Base)"


@pytest.mark.parametrize(
    "other",
    [
        {"tags": {**OURS, "federate:image-of": "another"}},
        {"tags": {**OURS, "federate:kind": "cpu"}},
        {"tags": OURS, "Architecture": "arm64"},
        {"tags": OURS, "State": "pending"},
        {"tags": OURS, "OwnerId": "999999999999"},  # anybody may tag a public image as he likes
    ],
)
def test_what_is_another_federations_kinds_architectures_or_owners_is_not_ours(other: dict[str, Any]) -> None:
    assert images(ami(ID, **other)).newest(GPU) is None
    assert images(ami(ID, tags=OURS)).newest(GPU) is not None


def test_an_image_of_ones_own_making_is_taken_with_what_it_is_for() -> None:
    slot, found = images(ami(ID, Architecture="arm64", OwnerId="444444444444")).by_id(ID, "us-east-1", "cpu")
    assert slot == Slot("us-east-1", "arm64", "cpu")
    assert (found.image, found.owner, found.federate, found.parent) == (ID, "444444444444", "unknown", "unknown")


def test_its_own_tag_says_what_an_image_is_for() -> None:
    slot, _ = images(ami(ID, tags=OURS)).by_id(ID, "us-east-1", None)
    assert slot == GPU


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (ami(ID), "does not say what it is for"),
        (ami(ID, tags=OURS, State="pending"), "is pending, not available"),
        (ami(ID, tags=OURS, BlockDeviceMappings=[{"Ebs": {"Encrypted": True}}]), "is encrypted"),
    ],
)
def test_an_image_that_cannot_be_it_is_refused_with_the_reason(given: Any, why: str) -> None:
    with pytest.raises(UnfitImage, match=why):
        images(given).by_id(ID, "us-east-1", None)


def test_an_image_that_is_not_there_is_named_with_the_account_that_asked() -> None:
    with pytest.raises(NoSuchImage, match=f"{ID} is not in us-east-1, or account 333333333333 may not"):
        images(ami(ID, tags=OURS), region="eu-central-1").by_id(ID, "us-east-1", None)
