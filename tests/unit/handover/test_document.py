"""A hand-over file comes from outside: whatever is wrong with it is named, with what is allowed and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from handed_over import DATA
from signing_requests import request_of

from infra.federation.derive import nodes
from infra.federation.model import Federation
from infra.handover.document import BadHandOver, read

PATTERNS = {
    site["id"]: {"PeeringId": "^pcx-[0-9a-f]{8,17}$", "SiteSecurityGroupId": "^sg-[0-9a-f]{8,17}$"}
    for site in DATA["participants"]
}


@pytest.fixture(scope="module")
def fed() -> Federation:
    return Federation.model_validate(DATA)


@pytest.fixture
def good(fed: Federation) -> dict[str, Any]:
    return {
        "format": "federate-hand-over/1",
        "federation": "herz",
        "site": "klinik-nord",
        "account": "717171717171",
        "region": "us-east-1",
        "values": {"PeeringId": "pcx-0123456789abcdef0", "SiteSecurityGroupId": "sg-0123456789abcdef0"},
        "release": "a" * 64,
        "request": request_of(nodes(fed)[1]),
    }


def problems(content: Any, fed: Federation, folder: Path) -> dict[str, str]:
    """Return what is found, by field."""
    path = folder / "handover.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(BadHandOver) as caught:
        read(path, fed, PATTERNS)
    assert caught.value.exit_code == 2
    for problem in caught.value.problems:
        assert problem.where.startswith(str(path))
        assert problem.remedy
    return {p.where.removeprefix(f"{path}").strip(): f"{p.found} {p.allowed}" for p in caught.value.problems}


def test_a_good_one_is_read(good: dict[str, Any], fed: Federation, tmp_path: Path) -> None:
    (tmp_path / "handover.json").write_text(json.dumps(good))
    found = read(tmp_path / "handover.json", fed, PATTERNS)
    assert (found.node.id, found.values, found.release) == ("klinik-nord", good["values"], "a" * 64)
    assert found.request == good["request"]


@pytest.mark.parametrize("field", ["format", "federation", "site", "account", "region", "values", "release", "request"])
def test_every_field_is_due(field: str, good: dict[str, Any], fed: Federation, tmp_path: Path) -> None:
    del good[field]
    assert problems(good, fed, tmp_path)[field].startswith("is missing.")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("format", "federate-hand-over/2", "federate-hand-over/1."),
        ("federation", "lunge", "herz."),
        ("site", "klinik-ost", "One of klinik-nord"),
        ("site", 7, "is not text"),
        ("account", "828282828282", "717171717171."),
        ("region", "eu-west-3", "us-east-1."),
        ("values", [], "is not an object of texts"),
        ("values", {"PeeringId": 3}, "is not an object of texts"),
        ("release", "ABC", "64 lower-case hexadecimal digits"),
        ("request", "-----BEGIN PRIVATE KEY-----", "One signing request in PEM"),
        ("private_key", "x", "is unknown."),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    field: str, value: Any, said: str, good: dict[str, Any], fed: Federation, tmp_path: Path
) -> None:
    assert said in problems({**good, field: value}, fed, tmp_path)[field]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PeeringId", "vpc-0123456789abcdef0", "It matches ^pcx-"),
        ("PeeringId", "pcx-0123456789abcdef0\n", "is none."),
        ("SiteSecurityGroupId", "sg-1; drop", "It matches ^sg-"),
        ("SiteSecurityGroupId", None, "is missing."),
        ("RoleArn", "arn:aws:iam::1:role/x", "is unknown."),
    ],
)
def test_an_identifier_is_checked_by_the_pattern_of_the_template_that_takes_it(
    name: str, value: str | None, said: str, good: dict[str, Any], fed: Federation, tmp_path: Path
) -> None:
    values = {**good["values"], name: value}
    good["values"] = {key: one for key, one in values.items() if one is not None}
    assert said in problems(good, fed, tmp_path)[f"values.{name}"]


def test_all_problems_come_at_once(good: dict[str, Any], fed: Federation, tmp_path: Path) -> None:
    good |= {"account": "828282828282", "region": "eu-west-3", "values": {}}
    assert len(problems(good, fed, tmp_path)) == 4


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff", b"[" * 100_000, b" " * 70_000, b"{}{}"])
def test_what_is_no_hand_over_at_all_says_so(content: bytes, fed: Federation, tmp_path: Path) -> None:
    assert "is no hand-over" in problems(content, fed, tmp_path)[""]


def test_a_file_that_is_not_there_says_so(fed: Federation, tmp_path: Path) -> None:
    with pytest.raises(BadHandOver, match="cannot be read"):
        read(tmp_path / "nothing.json", fed, PATTERNS)


def test_what_comes_from_outside_cannot_write_into_the_terminal(
    good: dict[str, Any], fed: Federation, tmp_path: Path
) -> None:
    said = problems({**good, "site": "\x1b[2J" + "x" * 500}, fed, tmp_path)["site"]
    assert "\x1b" not in said
    assert len(said) < 200
