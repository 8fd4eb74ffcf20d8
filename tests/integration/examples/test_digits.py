"""The tutorial's use case from its files to its report: a package of its own, real processes, mutual TLS."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from authority import Authority
from fl_processes import free_port

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[3]
EXAMPLE = REPOSITORY / "examples" / "digits"
SITES = ("north", "east", "south")
NODES = ("aggregator", *SITES)

#: As the operator does it: the checked file becomes each node's run files. In a process that has the plug-in installed.
WRITE_RUN_FILES = """
import sys
from pathlib import Path
from infra.federation.derive import nodes
from infra.federation.load import load_federation
from infra.federation.run_config import run_files
federation = load_federation(Path(sys.argv[1]))
for node in nodes(federation):
    folder = Path(sys.argv[2]) / node.id / "config"
    folder.mkdir(parents=True)
    for name, text in run_files(federation, node).items():
        (folder / name).write_text(text)
print(nodes(federation)[0].address, federation.aggregator.port)
"""


class Run:
    """The example's nodes as processes, each in a folder of its own, with the example installed as a release has it."""

    def __init__(self, root: Path) -> None:
        self.root, self.release = root, root / "release"
        shutil.copytree(EXAMPLE, root / "example", ignore=shutil.ignore_patterns("data", "build", "*.egg-info"))
        self.python("-m", "pip", "install", "-q", *["--no-deps", "--no-build-isolation", "--no-index", "--target"],
                    str(self.release), str(root / "example"))  # fmt: skip
        self.python(str(EXAMPLE / "federate_digits.py"), *SITES, "--out", str(root / "data"))
        address, port = self.python("-c", WRITE_RUN_FILES, str(EXAMPLE / "federation.yaml"), str(root)).split()
        self._addresses = f"{address}:{port}=127.0.0.1:{free_port()}"
        authority = Authority("digits")
        for node in NODES:
            role = "aggregator" if node == "aggregator" else "client"
            authority.issue(root / node / "state" / "tls", node, role=role)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "PYTHONPATH": os.pathsep.join((str(self.release), str(REPOSITORY))),
            "FEDERATE_THREADS": "1",
            "FEDERATE_ADDRESS_MAP": getattr(self, "_addresses", ""),
        }

    def python(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *nodes: str) -> None:
        for node in nodes:
            home = self.root / node
            data = self.root / "data" / node if node in SITES else home / "no-data"
            command = [sys.executable, "-m", "fl_app", "client" if node in SITES else "server", "--data", str(data)]
            for folder in ("config", "state", "output"):
                command += [f"--{folder}", str(home / folder)]
            with (home / "log").open("wb") as log:
                self._processes[node] = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment())

    def wait(self) -> None:
        for node, process in self._processes.items():
            assert process.wait(timeout=240) == 0, (self.root / node / "log").read_text()

    def end(self) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The example, trained, compared and reported, once for all tests here."""
    made = Run(tmp_path_factory.mktemp("digits"))
    try:
        made.start(*SITES, "aggregator")
        made.wait()
        output, config = made.root / "aggregator" / "output", made.root / "aggregator" / "config"
        where = ("--data", str(made.root / "data"), "--config", str(config), "--output", str(output))
        made.python("-m", "fl_app.compare", *where, "--model", str(output / "model.safetensors"))
        made.python("-m", "fl_app.tracking", "report", "--results", str(output))
        yield made
    finally:
        made.end()


def test_it_has_fewer_than_a_hundred_lines_and_nothing_of_eicu() -> None:
    text = (EXAMPLE / "federate_digits.py").read_text()
    assert len(text.splitlines()) < 100
    assert "eicu" not in text.lower()
    imported = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name and name.startswith("fl_app")} == {"fl_app.plugins"}


def test_every_round_has_the_metrics_of_all_three_sites(run: Run) -> None:
    lines = (run.root / "aggregator" / "output" / "rounds.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["round"] for record in records] == list(range(20))
    assert all({site["site"] for site in record["sites"]} == set(SITES) for record in records)
    assert records[-1]["federated"]["test_loss"] < records[0]["federated"]["test_loss"] / 2


def test_the_federated_network_reads_better_than_that_of_any_site_alone(run: Run) -> None:
    comparison = json.loads((run.root / "aggregator" / "output" / "comparison.json").read_text())
    everywhere = {row["model"]: row for row in comparison["rows"] if row["tested_on"] == "all sites"}
    assert set(everywhere) == {"federated", "pooled", *(f"local {site}" for site in SITES)}
    assert everywhere["federated"]["loss"] < min(everywhere[f"local {site}"]["loss"] for site in SITES)
    assert everywhere["federated"]["auroc"] > 0.99


def test_the_model_says_how_it_was_made(run: Run) -> None:
    made = json.loads((run.root / "aggregator" / "output" / "model.json").read_text())
    assert (made["model"], made["options"]) == ("digits_network", {"hidden": 32})
    assert made["aggregation"]["name"] == "digits_median"


def test_the_report_shows_all_sites_and_says_what_is_not_known(run: Run) -> None:
    page = (run.root / "aggregator" / "output" / "report.html").read_text()
    assert all(f"{site} alone" in page for site in SITES)
    assert "No file says where the data come from." in page
    assert "Synthetic" not in page


def test_no_digit_is_on_two_sites(run: Run) -> None:
    rows = [row for site in SITES for row in (run.root / "data" / site / "digits.csv").read_text().splitlines()]
    assert len(rows) == 1797
    assert len(set(rows)) == len(rows)


def test_the_digits_are_dealt_the_same_way_each_time(run: Run, tmp_path: Path) -> None:
    run.python(str(EXAMPLE / "federate_digits.py"), *SITES, "--out", str(tmp_path))
    for site in SITES:
        assert (tmp_path / site / "digits.csv").read_bytes() == (run.root / "data" / site / "digits.csv").read_bytes()


def test_what_the_tutorial_shows_is_what_the_example_holds() -> None:
    tutorial = (REPOSITORY / "docs" / "tutorial.md").read_text()
    held = {line for path in EXAMPLE.iterdir() if path.is_file() for line in path.read_text().splitlines()}
    shown = re.findall(r"```(?:python|toml|yaml)\n(.*?)```", tutorial, flags=re.DOTALL)
    assert len(shown) == 5
    assert [line for block in shown for line in block.splitlines() if line and line not in held] == []


def test_its_file_is_where_the_tutorial_says_it_is() -> None:
    document = yaml.safe_load((EXAMPLE / "federation.yaml").read_text())
    assert [site["data"]["source"] for site in document["participants"]] == [f"data/{site}" for site in SITES]
