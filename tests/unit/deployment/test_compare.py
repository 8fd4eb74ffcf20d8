"""What ``cdk diff`` prints becomes one difference per stack."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_cloud import stack

from infra.deployment.cdk import CdkRun
from infra.deployment.compare import NotCompared, read

SAID = """start: Building A
Hold on while we create a read-only change set to get a diff with accurate replacement information
Stack fed-A
There were no differences

Stack fed-B
Resources
[~] AWS::EC2::Instance Instance
 └─ [~] InstanceType
     ├─ [-] g4dn.xlarge
     └─ [+] g5.xlarge


✨  Number of stacks with differences: 1
"""


def run(tmp_path: Path, text: str) -> CdkRun:
    log = tmp_path / "log"
    log.write_text(text, "utf-8")
    return CdkRun(0, log)


def test_stacks_that_are_the_same_have_no_difference_and_the_others_theirs(tmp_path: Path) -> None:
    same, other = read([stack("A", "hub", "aggregator"), stack("B", "hub", "aggregator")], run(tmp_path, SAID))
    assert same.text == ""
    assert other.text.startswith("Resources\n[~] AWS::EC2::Instance Instance")
    assert "✨" not in other.text


def test_a_stack_that_is_not_spoken_of_is_never_taken_for_the_same(tmp_path: Path) -> None:
    with pytest.raises(NotCompared, match="says nothing of fed-C"):
        read([stack("C", "hub", "aggregator")], run(tmp_path, SAID))
