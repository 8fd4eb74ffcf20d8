"""A site comes, goes and changes without a byte changing at another site."""

from __future__ import annotations

from typing import Any

import pytest


def _differing(before: Any, after: Any) -> set[str]:
    names = set(before.bytes) | set(after.bytes)
    return {name for name in names if before.bytes.get(name) != after.bytes.get(name)}


def _own(site: str) -> set[str]:
    return {f"Site{part}-{site}" for part in ("Storage", "Network", "Node")} | {f"HubLink-{site}"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cidr", "10.50.0.0/16"),
        ("instance_type", "g5.2xlarge"),
        ("availability_zone", "b"),
        ("volume_gib", 200),
        ("spot", True),
        ("on_destroy", "delete"),
        ("image", "ami-0fed0000000000009"),
        ("alarm_email", "ops@hospital-a.example"),
        ("alarm_topic", "arn:aws:sns:us-east-1:111111111111:on-call"),
    ],
)
def test_changing_a_site_changes_only_what_is_about_that_site(
    data: Any, synth: Any, example: Any, key: str, value: Any
) -> None:
    data["participants"][0][key] = value
    changed = _differing(example, synth(data))
    assert changed
    assert changed <= _own("hospital-a")


def test_moving_a_site_to_another_account_changes_besides_only_the_role_that_accepts_its_peering(
    data: Any, synth: Any, example: Any
) -> None:
    data["participants"][0]["account"] = "444444444444"
    assert _differing(example, synth(data)) == _own("hospital-a") | {"HubNetwork"}


@pytest.mark.parametrize("position", [0, 1, 2])
def test_adding_a_site_anywhere_in_the_list_changes_no_other_site(
    data: Any, synth: Any, example: Any, position: int
) -> None:
    new = {"id": "hospital-c", "account": "444444444444", "profile": "hospital-c", "cidr": "10.40.0.0/16"}
    data["participants"].insert(position, new)
    assert _differing(example, synth(data)) == _own("hospital-c") | {"HubNetwork"}


@pytest.mark.parametrize("gone", [0, 1])
def test_removing_a_site_the_first_included_changes_no_other_site(
    data: Any, synth: Any, example: Any, gone: int
) -> None:
    site = data["participants"].pop(gone)["id"]
    assert _differing(example, synth(data)) == _own(site) | {"HubNetwork"}


def test_the_order_of_the_sites_changes_nothing(data: Any, synth: Any, example: Any) -> None:
    data["participants"].reverse()
    assert _differing(example, synth(data)) == set()


def test_training_changes_no_template(data: Any, synth: Any, example: Any) -> None:
    data["training"]["rounds"] = 7
    assert _differing(example, synth(data)) == set()


def test_a_template_that_names_another_site_would_be_noticed(example: Any) -> None:
    for name, content in example.bytes.items():
        if name.endswith("-hospital-a"):
            assert b"hospital-b" not in content
            assert b"222222222222" not in content
    assert b"222222222222" in example.bytes["HubNetwork"]
