"""One block of the file comes or goes; every other line stays as its author wrote it."""

from __future__ import annotations

import pytest
import yaml

from infra.handover.block import NotEdited, block_of, difference, with_block, without_block

TEXT = """\
# ours
name: fed
participants:   # who takes part

  # the first
  - id: north  # in the north
    account: "012345678901"
    data:
      hospitals:
        - 73
        - 167   # the large one
  # the second
  - {id: south, account: "222222222222"}

# how it learns
training: {rounds: 3}
"""
BLOCK = {"id": "west", "account": "012345670123", "cidr": "10.3.0.0/16", "gpu_mapping": [0, 1], "spot": True}


def test_a_block_is_added_after_the_last_one_and_no_other_line_changes() -> None:
    after = with_block(TEXT, BLOCK)
    new = [line for line in after.splitlines() if line not in TEXT.splitlines()]
    assert new == [
        "  - id: west",
        '    account: "012345670123"',
        "    cidr: 10.3.0.0/16",
        "    gpu_mapping: [0, 1]",
        "    spot: true",
    ]
    assert [line for line in after.splitlines() if line not in new] == TEXT.splitlines()
    assert yaml.safe_load(after)["participants"][2] == BLOCK
    assert yaml.safe_load(after)["training"] == {"rounds": 3}


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "participants:\n- id: a\n  note: |\n    two\n    lines\n",
        "participants:\n  - id: a",
        "participants:\n    -\n        id: a\n        cidr: 10.1.0.0/16\nname: x\n",
    ],
)
def test_what_was_added_and_is_taken_out_leaves_the_file_as_it_was(text: str) -> None:
    whole = text if text.endswith("\n") else f"{text}\n"
    after = with_block(text, BLOCK)
    assert yaml.safe_load(after)["participants"][-1] == BLOCK
    assert without_block(after, "west") == whole


@pytest.mark.parametrize(("site", "left"), [("north", ["south"]), ("south", ["north"])])
def test_a_block_is_taken_out_with_its_lines_alone(site: str, left: list[str]) -> None:
    after = without_block(TEXT, site)
    assert [one["id"] for one in yaml.safe_load(after)["participants"]] == left
    for comment in ("# ours", "# who takes part", "# the first", "# the second", "# how it learns"):
        assert comment in after


def test_the_only_site_cannot_be_taken_out() -> None:
    with pytest.raises(NotEdited, match="south is the only site"):
        without_block(without_block(TEXT, "north"), "south")


def test_a_site_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(NotEdited, match=r"no block of 'east'(.|\n)*north, south"):
        without_block(TEXT, "east")
    with pytest.raises(NotEdited, match=r"no site 'east'(.|\n)*north, south"):
        block_of(TEXT, "east")


@pytest.mark.parametrize(
    "text",
    [
        "participants: [{id: a}, {id: b}]\n",
        "x: &x {id: a}\nparticipants:\n  - *x\n  - id: b\n  - *x\n",
        "participants: 3\n",
        "name: fed\n",
        "",
    ],
)
def test_what_cannot_be_edited_line_by_line_is_refused(text: str) -> None:
    with pytest.raises(NotEdited, match="not written one block after the other"):
        with_block(text, BLOCK)


def test_the_difference_is_shown_as_diff_shows_it() -> None:
    shown = difference(TEXT, without_block(TEXT, "south"), "federation.yaml")
    assert '-  - {id: south, account: "222222222222"}' in shown.splitlines()
    assert [line for line in shown.splitlines() if line.startswith("+")] == ["+++ federation.yaml"]
