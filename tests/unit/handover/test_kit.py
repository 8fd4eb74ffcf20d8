"""A startup kit holds what a hospital's admin needs, and nothing of anybody else's."""

from __future__ import annotations

import copy
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

import pytest
from handed_over import DATA, HUB_VPC

from infra.handover.kit import MANIFEST, Kit, NotExported

#: What tells spital-sued from everybody else.
OF_THE_OTHER = (b"spital-sued", b"828282828282", b"10.88.", b"suedprofil", b"g5.2xlarge", b"eu-west-3", b"8642097")


def contents(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a file, and what is packed in it."""
    yield name, content
    if is_zipfile(io.BytesIO(content)):
        with ZipFile(io.BytesIO(content)) as zipped:
            for inner in zipped.namelist():
                yield from contents(f"{name}/{inner}", zipped.read(inner))


def found_in(kit: Kit) -> set[bytes]:
    every = [one for name, content in kit.files.items() for one in contents(name, content)]
    return {needle for needle in OF_THE_OTHER for name, content in every if needle in name.encode() + content}


def test_nothing_of_another_site_is_in_any_byte_of_it(kit: Kit) -> None:
    assert found_in(kit) == set()


def test_negative_control_the_same_search_finds_the_other_site_in_its_own_kit(herz: Any, release: Any) -> None:
    # The profile and the hospitals are the coordinator's business, and in nobody's kit.
    assert found_in(herz.kit("spital-sued", release)) == set(OF_THE_OTHER) - {b"suedprofil", b"8642097"}


def test_no_profile_of_the_coordinator_s_is_in_it(kit: Kit) -> None:
    assert not any(b"koordination" in content for content in kit.files.values())


def test_it_holds_templates_summary_release_run_files_script_and_their_digests(kit: Kit, release: Any) -> None:
    templates = {f"templates/Site{part}-klinik-nord.template.json" for part in ("Storage", "Network", "Node")}
    others = {"README.md", "SUMMARY.md", "kit.json", "run/manifest.json", "site.py", MANIFEST}
    assert templates | others | {f"release/{release.digest}.zip"} <= set(kit.files)
    lines = kit.files[MANIFEST].decode().splitlines()
    listed = {line.partition("  ")[2]: line.partition("  ")[0] for line in lines}
    assert listed == {n: hashlib.sha256(c).hexdigest() for n, c in kit.files.items() if n != MANIFEST}
    assert kit.digest == hashlib.sha256(kit.files[MANIFEST]).hexdigest()


def test_what_the_hub_gives_is_filled_in_and_what_the_site_makes_is_named(kit: Kit) -> None:
    described = json.loads(kit.files["kit.json"])
    network = next(stack for stack in described["stacks"] if stack["name"] == "herz-SiteNetwork-klinik-nord")
    assert network["parameters"]["HubVpcId"] == {"value": HUB_VPC}
    assert network["parameters"]["S3PrefixListId"] == {"managed_prefix_list": "com.amazonaws.us-east-1.s3"}
    assert described["hand_over"] == {
        "PeeringId": {"name": "herz-SiteNetwork-klinik-nord", "output": "PeeringId"},
        "SiteSecurityGroupId": {"name": "herz-SiteNetwork-klinik-nord", "output": "NodeSecurityGroupId"},
    }
    assert [stack["is_node"] for stack in described["stacks"]] == [
        stack["name"] == "herz-SiteNode-klinik-nord" for stack in described["stacks"]
    ]


def test_every_parameter_of_its_templates_has_a_source(kit: Kit) -> None:
    for stack in json.loads(kit.files["kit.json"])["stacks"]:
        template = json.loads(kit.files[stack["template"]])
        declared = {name for name, one in template.get("Parameters", {}).items() if "Default" not in one}
        assert declared == set(stack["parameters"])


def test_what_is_given_lies_under_the_prefix_of_an_existing_bucket(synth: Any, release: Any) -> None:
    changed = copy.deepcopy(DATA)
    changed["participants"][0] |= {"bucket": "our-own-bucket", "bucket_prefix": "study/herz/"}
    described = json.loads(synth(changed).kit("klinik-nord", release).files["kit.json"])
    assert described["run"]["key"] == "study/herz/run/manifest.json"
    assert described["release"]["key"] == f"study/herz/releases/{release.digest}.zip"
    assert described["data"] == "study/herz/data/"


def test_the_same_federation_gives_the_same_bytes(herz: Any, kit: Kit, release: Any, tmp_path: Path) -> None:
    again = herz.kit("klinik-nord", release)
    assert again == kit
    first, second = kit.write(tmp_path / "a.zip"), again.write(tmp_path / "b.zip")
    assert first.read_bytes() == second.read_bytes()


def test_what_changes_at_another_site_changes_no_byte_of_it(synth: Any, kit: Kit, release: Any) -> None:
    changed = copy.deepcopy(DATA)
    changed["participants"][1] |= {"account": "838383838383", "cidr": "10.99.0.0/16", "volume_gib": 300}
    changed["participants"].reverse()
    assert synth(changed).kit("klinik-nord", release) == kit


def test_the_zip_and_the_folder_hold_the_same(kit: Kit, tmp_path: Path) -> None:
    folder, packed = kit.write(tmp_path / "kit"), kit.write(tmp_path / "kit.zip")
    with ZipFile(packed) as zipped:
        inside = {name.removeprefix("herz-klinik-nord/"): zipped.read(name) for name in zipped.namelist()}
    assert inside == kit.files
    assert {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == kit.files


def test_a_folder_of_something_else_is_not_written_into(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(NotExported, match="is no startup kit"):
        kit.write(tmp_path)


def test_its_templates_are_plain_whatever_the_synthesizer(synth: Any, kit: Kit, release: Any) -> None:
    made = synth({**copy.deepcopy(DATA), "synthesizer": "default"}).kit("klinik-nord", release)
    for name, content in made.files.items():
        if name.endswith(".template.json"):
            assert b"BootstrapVersion" not in content
            assert content == kit.files[name]


def test_a_template_that_cloudformation_would_not_take_is_refused(synth: Any, release: Any) -> None:
    tags = {f"{number:03d}-{'k' * 100}": "v" * 250 for number in range(40)}
    with pytest.raises(NotExported, match="CloudFormation takes 51200 in a call"):
        # Synth itself lets it pass where CDK's bootstrap stack has a bucket for it; a kit has none.
        synth({**copy.deepcopy(DATA), "tags": tags, "synthesizer": "default"}).kit("klinik-nord", release)


def test_a_kit_written_over_an_earlier_one_leaves_nothing_of_it_but_what_the_admin_added(
    kit: Kit, tmp_path: Path
) -> None:
    before = dict(kit.files) | {"release/old.zip": b"old"}
    before[MANIFEST] = kit.files[MANIFEST] + f"{'0' * 64}  release/old.zip\n{'0' * 64}  ../mine\n".encode()
    (tmp_path / "mine").write_text("not the kit's")
    folder = Kit(kit.name, before, "").write(tmp_path / "kit")
    (folder / "handover.json").write_text("{}")
    kit.write(folder)
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == set(kit.files) | {"handover.json"}
    assert (tmp_path / "mine").exists()


def test_one_site_s_kit_is_not_written_into_another_s(kit: Kit, herz: Any, release: Any, tmp_path: Path) -> None:
    folder = herz.kit("spital-sued", release).write(tmp_path / "kit")
    before = (folder / MANIFEST).read_bytes()
    with pytest.raises(NotExported, match="another site"):
        kit.write(folder)
    assert (folder / MANIFEST).read_bytes() == before


@pytest.mark.parametrize("name", ["file/kit", "file/kit.zip", "file"])
def test_a_place_that_cannot_be_written_is_named(kit: Kit, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotExported, match=f"{name} cannot be written"):
        kit.write(tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"
