"""The lock file of machine images: what it says, for whom, and what of it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.errors import InvalidFederation, Severity
from infra.federation.derive import nodes
from infra.federation.images import LOCK_FILE, Lock, LockedImage, Slot, read_lock, slots, with_locked
from infra.federation.load import load
from infra.federation.model import Federation

GPU = Slot("us-east-1", "x86_64", "gpu")
ARM = Slot("us-east-1", "arm64", "gpu")
CPU = Slot("eu-central-1", "arm64", "cpu")


def image(id_: str, **other: str) -> LockedImage:
    known = {"name": "n", "owner": "333333333333", "parent": "unknown", "federate": "0.1.0", "created": "2026-11-26"}
    return LockedImage(image=id_, **{**known, **other})


@pytest.fixture
def mixed(data: dict[str, Any]) -> dict[str, Any]:
    """Three nodes of three slots, and no image in the file."""
    del data["images"]
    data["participants"][0]["instance_type"] = "g5g.xlarge"
    data["participants"][1] |= {"instance_type": "c7g.large", "region": "eu-central-1"}
    return data


def images_of(federation: Federation) -> list[str | None]:
    return [node.image for node in nodes(federation)]


def test_a_node_gets_the_image_of_its_region_architecture_and_kind(mixed: Any) -> None:
    federation = Federation.model_validate(mixed)
    assert slots(federation) == (CPU, ARM, GPU)
    lock = Lock({GPU: image("ami-00000001"), ARM: image("ami-00000002"), CPU: image("ami-00000003")})
    assert images_of(with_locked(federation, lock)) == ["ami-00000001", "ami-00000002", "ami-00000003"]


def test_what_the_file_says_goes_before_the_lock(data: Any) -> None:
    data["participants"][0]["image"] = "ami-0000000b"
    locked = with_locked(Federation.model_validate(data), Lock({GPU: image("ami-00000001")}))
    assert images_of(locked) == [data["images"]["us-east-1"], "ami-0000000b", data["images"]["us-east-1"]]


def test_a_lock_is_read_as_it_was_written_and_always_written_alike(tmp_path: Path) -> None:
    images = {GPU: image("ami-00000001", name="α"), ARM: image("ami-00000002"), CPU: image("ami-0123456789abcdef0")}
    text = Lock(images).text()
    assert Lock(dict(reversed(images.items()))).text() == text
    (tmp_path / LOCK_FILE).write_text(text, "utf-8")
    assert read_lock(tmp_path / LOCK_FILE).images == images
    assert list(json.loads(text)["images"]["us-east-1"]) == ["arm64/gpu", "x86_64/gpu"]


def test_a_lock_beside_the_file_is_loaded_with_it(mixed: Any, tmp_path: Path) -> None:
    file = tmp_path / "federation.yaml"
    file.write_text(yaml.safe_dump(mixed))
    lock = Lock({GPU: image("ami-00000001"), ARM: image("ami-00000002"), CPU: image("ami-00000003")})
    (tmp_path / LOCK_FILE).write_text(lock.text())
    assert images_of(load(file).federation) == ["ami-00000001", "ami-00000002", "ami-00000003"]
    assert images_of(load(file, locked=False, without_images=True).federation) == [None, None, None]


def test_a_slot_that_the_lock_lacks_is_named_with_its_node(mixed: Any, tmp_path: Path) -> None:
    file = tmp_path / "federation.yaml"
    file.write_text(yaml.safe_dump(mixed))
    (tmp_path / LOCK_FILE).write_text(Lock({GPU: image("ami-00000001"), CPU: image("ami-00000003")}).text())
    with pytest.raises(InvalidFederation) as caught:
        load(file)
    (problem,) = caught.value.problems
    assert "no machine image for hospital-a in us-east-1" in problem.found
    assert "here of arm64/gpu" in problem.allowed
    assert "federate image lock" in problem.remedy


def test_with_a_pipeline_a_federation_may_have_no_images_yet_and_is_told_so(mixed: Any, tmp_path: Path) -> None:
    mixed["image_pipeline"] = True
    file = tmp_path / "federation.yaml"
    file.write_text(yaml.safe_dump(mixed))
    loaded = load(file)
    assert len([notice for notice in loaded.notices if "no machine image" in notice.found]) == 2
    assert str(loaded.federation.image_pipeline.cidr) == "10.255.0.0/24"


@pytest.mark.parametrize("said", [False, None])
def test_a_pipeline_is_not_made_unless_it_is_asked_for(data: Any, said: Any) -> None:
    data["image_pipeline"] = said
    assert Federation.model_validate(data).image_pipeline is None


def test_one_image_for_two_architectures_is_refused(data: Any, problems: Any) -> None:
    data["participants"][0]["instance_type"] = "g5g.xlarge"
    (found,) = problems(data).values()
    assert "hospital-a (arm64) and" in str(found)


def test_a_root_volume_that_is_smaller_than_the_pipelines_image_is_refused(data: Any, problems: Any) -> None:
    data["participants"][0]["volume_gib"] = 59
    assert problems(data) == {}
    data["image_pipeline"] = True
    (found,) = problems(data).values()
    assert "59 GiB is less than" in str(found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "is not a lock file"),
        ("[]", "is not a lock file"),
        ('{"version": 2, "images": {}}', "has the version 2"),
        ('{"version": 1}', "is not a lock file"),
        ('{"version": 1, "images": {"us-east-1": {"x86/gpu": {}}}}', "x86/gpu is no architecture and kind"),
        ('{"version": 1, "images": {"us-east-1": {"x86_64/gpu": {"image": "ami-00000001"}}}}', "is not a lock file"),
        (Lock({GPU: image("ami-1; rm")}).text(), "ami-1; rm is no image's id"),
    ],
)
def test_a_broken_lock_is_refused_by_name(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / LOCK_FILE).write_text(text)
    with pytest.raises(InvalidFederation, match=found) as caught:
        read_lock(tmp_path / LOCK_FILE)
    assert LOCK_FILE in str(caught.value)
    assert "federate image lock" in str(caught.value)


def test_a_broken_lock_is_a_warning_where_no_image_is_needed(mixed: Any, tmp_path: Path) -> None:
    file = tmp_path / "federation.yaml"
    file.write_text(yaml.safe_dump(mixed))
    (tmp_path / LOCK_FILE).write_text("{")
    loaded = load(file, without_images=True)
    assert images_of(loaded.federation) == [None, None, None]
    assert [(notice.severity, LOCK_FILE in notice.where) for notice in loaded.notices] == [(Severity.WARNING, True)]
    with pytest.raises(InvalidFederation, match="is not a lock file"):
        load(file)


def test_no_lock_is_an_empty_lock(tmp_path: Path) -> None:
    assert read_lock(tmp_path / LOCK_FILE).images == {}
