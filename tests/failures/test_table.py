"""The page lists every failure that is brought about here, and no other."""

from __future__ import annotations

import os
import re
from pathlib import Path

import failure_table
import pytest


def test_the_page_has_a_line_for_every_failure_in_its_order() -> None:
    if os.environ.get(failure_table.WRITE) == "write":
        pytest.skip("the page is being written")
    numbers = re.findall(r"^\| (\d+) \|", failure_table.PAGE.read_text("utf-8"), re.MULTILINE)
    assert numbers == [str(number) for number in range(1, len(failure_table.IDS) + 1)]


def test_there_are_at_least_the_twenty_that_are_due() -> None:
    assert len(set(failure_table.IDS)) == len(failure_table.IDS) >= 20


def test_every_failure_has_a_test_and_every_test_that_bears_one_is_listed() -> None:
    texts = [path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)]
    found = [id_ for text in texts for id_ in re.findall(r'mark\.failure\("([\w-]+)"\)|Case\(\s*"([\w-]+)"', text)]
    assert sorted(one or other for one, other in found) == sorted(failure_table.IDS)


def test_a_row_is_the_same_whatever_the_run() -> None:
    said = (
        "fed-x: ROLLBACK_COMPLETE: (Service: Ec2, Request ID: 8a1d3a5e-0f8c-4c7e-9a35-0c6b0d1f2a3b) vpc-0a1b2c3d4e5f\n"
        "  Cause: So it is.\n  Do this. All that was said is in /tmp/a/logs/x.log.\nUnfinished:\n  fed-x"
    )
    row = failure_table.Row("x", "a|b", "here", failure_table.constant(said, failure_table.PAGE), 1, "on")
    assert row.sees == "fed-x: ROLLBACK_COMPLETE: (Service: Ec2, Request ID: …) vpc-…<br>Cause: So it is."
    assert row.remedy == "Do this. All that was said is in LOG."
    assert row.line(1).startswith("| 1 | a\\|b | here | fed-x")
