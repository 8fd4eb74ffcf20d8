"""cfn-lint finds nothing in any template, each in the Region that it is for."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.core import get_rules
from cfnlint.rules import RulesCollection
from policy_table import Tell
from variants import VARIANTS

from stacks.acknowledged import MEANT


def _found(template: str, region: str) -> list[str]:
    matches = lint(template, rules=_rules(), regions=[region])
    return [f"{match.rule.id} {match.path}: {match.message}" for match in matches]


@cache
def _rules() -> RulesCollection:
    """Return the rules for errors and warnings; making them takes longer than a template."""
    return get_rules([], [], [])


def _shape(template: str) -> str:
    """Return a template without what sets one site apart from another: two of one shape have the same findings."""
    return re.sub(r"hospital-[a-z]|\d{12}|10\.\d+\.", "#", template)


@pytest.fixture(scope="module")
def linted(scanned: Any) -> dict[str, list[str]]:
    """What cfn-lint finds in one template of each shape and Region, what is meant included."""
    found: dict[str, list[str]] = {}
    seen: set[tuple[str, str]] = set()
    for variant in VARIANTS:
        for stack in scanned.plan(variant).stacks:
            text = (scanned.folder(variant) / f"{stack.id}.template.json").read_text("utf-8")
            key = (_shape(text), stack.region)
            if key not in seen:
                seen.add(key)
                found[f"{variant}/{stack.id}"] = _found(text, stack.region)
    return found


def test_cfn_lint_finds_nothing_that_is_not_meant(linted: dict[str, list[str]], tell: Tell) -> None:
    open_ = [f"{name}: {one}" for name, all_ in linted.items() for one in all_ if not one.startswith(tuple(MEANT))]
    assert open_ == []
    total = sum(map(len, linted.values()))
    rules = len(_rules())
    over = f"{len(VARIANTS)} federations"
    tell("cfn-lint", over=over, templates=len(linted), rules=rules, findings=total, acknowledged=total)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"InstanceTyp": "g4dn.xlarge"}, "E3002"),
        ({"InstanceType": "g4dn.enormous"}, "E3"),
        ({"ImageId": {"Ref": "Nobody"}}, "E1"),
    ],
)
def test_canary_cfn_lint_fires_on_a_planted_defect(scanned: Any, change: dict[str, Any], rule: str) -> None:
    template = json.loads(json.dumps(scanned.templates["example/HubNode"]))
    template["Resources"]["Instance"]["Properties"] |= change
    assert any(found.startswith(rule) for found in _found(json.dumps(template), "us-east-1"))


def test_what_is_meant_is_still_found_by_somebody(linted: dict[str, list[str]], scanned: Any) -> None:
    by_cfn_lint = {one.split()[0] for all_ in linted.values() for one in all_}
    # CDK asks of every image id whether it is a parameter of the account; cfn-lint does not.
    assert by_cfn_lint == set(MEANT) - {"W9010"}
