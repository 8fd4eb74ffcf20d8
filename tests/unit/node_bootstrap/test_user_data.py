"""User data is a script of ours with a node's facts in it, which neither the shell nor a reader takes for another."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from fake_node import FACTS

from node_bootstrap import user_data
from node_bootstrap.user_data import NoFacts, facts_in, render

HOSTILE = {
    **FACTS,
    "region": "us-east-1; touch pwned",
    "bucket": "$(touch pwned) `touch pwned` 'b' \"b\" \\ ä",
    "parameter_prefix": "/federate/$(touch pwned)\nFEDERATE_FACTS\ntouch pwned\n",
}
IMAGE = Path(user_data.__file__).parent / "image"


def run(script: str, folder: Path, *, image: str | None) -> tuple[int, str, list[str]]:
    """Run the script in a folder that stands for the machine; return code, errors, and the arguments of ``aws``."""
    (folder / "bin").mkdir()
    (folder / "bin" / "aws").write_text('#!/bin/bash\nprintf "%s\\n" "$@" > aws-was-told\n')
    if image is not None:
        (folder / "bootstrap").write_text(image)
    for program in ("bin/aws", "bootstrap"):
        if (folder / program).exists():
            (folder / program).chmod(0o700)
    moved = script.replace(user_data.FACTS_PATH, str(folder / "etc" / "node.json"))
    moved = moved.replace("mkdir -p /etc/federate", f"mkdir -p {folder}/etc")
    moved = moved.replace(user_data.BOOTSTRAP_PATH, str(folder / "bootstrap"))
    done = subprocess.run(
        ["bash"],
        input=moved,
        text=True,
        cwd=folder,
        env={"PATH": f"{folder}/bin:{os.environ['PATH']}"},
        capture_output=True,
        check=False,
    )
    told = folder / "aws-was-told"
    return done.returncode, done.stderr, told.read_text().splitlines() if told.exists() else []


@pytest.mark.parametrize("facts", [FACTS, HOSTILE], ids=["plain", "hostile"])
def test_what_is_written_is_read_back(facts: dict[str, str]) -> None:
    assert facts_in(render(facts)) == facts


@pytest.mark.parametrize("facts", [FACTS, HOSTILE], ids=["plain", "hostile"])
def test_the_shell_finds_no_fault(facts: dict[str, str]) -> None:
    subprocess.run(["bash", "-n"], input=render(facts), text=True, check=True)


@pytest.mark.parametrize("name", ["federate-bootstrap", "federate-state", "install.sh"])
def test_the_shell_finds_no_fault_in_what_the_image_holds(name: str) -> None:
    subprocess.run(["bash", "-n", str(IMAGE / name)], check=True)


@pytest.mark.parametrize("facts", [FACTS, HOSTILE], ids=["plain", "hostile"])
def test_it_leaves_the_facts_to_the_image_and_the_shell_takes_none_for_a_command(
    facts: dict[str, str], tmp_path: Path
) -> None:
    code, said, told = run(render(facts), tmp_path, image='#!/bin/bash\ncp "$1" handed-over\n')
    assert (code, said, told) == (0, "", [])
    assert json.loads((tmp_path / "handed-over").read_text("utf-8")) == facts
    assert (tmp_path / "etc" / "node.json").stat().st_mode & 0o077 == 0
    assert not (tmp_path / "pwned").exists()


def test_on_an_image_without_federate_the_script_says_so_where_the_operator_looks(tmp_path: Path) -> None:
    code, said, told = run(render(HOSTILE), tmp_path, image=None)
    assert code == 1
    assert "it is not one that Federate's install script has made" in said
    assert told[:6] == ["ssm", "put-parameter", "--overwrite", "--type", "String", "--region"]
    state = json.loads(told[-1])
    assert state["state"] == "failed"
    assert "the machine image has no" in state["reason"]
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("", "holds no facts"),
        ("#!/bin/sh\necho hello", "holds no facts"),
        (render(FACTS).partition('"node"')[0], "holds no facts"),
        (render(FACTS).replace('"federation": "fed",', '"federation": fed,'), "not JSON"),
        (render(FACTS).replace('"fed"', "1"), "not names and texts"),
    ],
)
def test_what_is_not_ours_holds_no_facts(script: str, why: str) -> None:
    with pytest.raises(NoFacts, match=why):
        facts_in(script)
