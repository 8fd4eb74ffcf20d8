"""Results come from the aggregator's bucket to the operator's folder, and to no other place."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from infra.federation.model import Federation
from infra.nodes.remote import Remote
from infra.nodes.results import NoResults, bring
from node_bootstrap import contract

RUN = "20261125T160045Z-3a6e"


@pytest.fixture
def hub(deployed: Mapping[str, Remote]) -> Remote:
    return deployed["aggregator"]


@pytest.fixture
def has(hub: Remote) -> Callable[..., None]:
    """Let the aggregator say of which run it speaks, and put objects into its bucket."""

    def put(run: str, *keys: str) -> None:
        hub.put(contract.STATE, json.dumps({"state": "finished", "run": run}))
        for key in keys:
            hub.client("s3").put_object(Bucket=hub.bucket, Key=key, Body=key.encode())

    return put


def below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_last_runs_results_are_brought_and_those_of_others_are_not(
    hub: Remote, fed: Federation, has: Callable[..., None], tmp_path: Path
) -> None:
    has(RUN, f"results/{RUN}/model.safetensors", f"results/{RUN}/wandb/run.wandb", "results/another/x", "run/y")
    folder = bring(hub, fed, home=tmp_path)
    assert folder == tmp_path / "results" / fed.name / RUN
    assert below(tmp_path) == {
        f"results/{fed.name}/{RUN}/model.safetensors",
        f"results/{fed.name}/{RUN}/wandb/run.wandb",
    }
    assert (folder / "model.safetensors").read_bytes() == f"results/{RUN}/model.safetensors".encode()


@pytest.mark.parametrize("run", ["", RUN])
def test_where_there_are_none_yet_the_error_says_when_there_will_be(
    hub: Remote, fed: Federation, has: Callable[..., None], tmp_path: Path, run: str
) -> None:
    has(run, "results/another/x")
    with pytest.raises(NoResults, match=f"no results of {f'the run {run}' if run else 'a run'} yet") as error:
        bring(hub, fed, home=tmp_path)
    assert "federate status" in str(error.value)
    assert below(tmp_path) == set()


def test_a_node_that_never_spoke_has_none(hub: Remote, fed: Federation, tmp_path: Path) -> None:
    with pytest.raises(NoResults):
        bring(hub, fed, home=tmp_path)


def test_an_object_never_becomes_a_file_outside_the_runs_folder(
    hub: Remote, fed: Federation, has: Callable[..., None], tmp_path: Path
) -> None:
    has(
        RUN,
        f"results/{RUN}/model.safetensors",
        f"results/{RUN}/../../../evil",
        f"results/{RUN}//{tmp_path}/evil",
        f"results/{RUN}/",
        f"results/{RUN}/folder/",
    )
    bring(hub, fed, home=tmp_path / "home")
    assert below(tmp_path) == {f"home/results/{fed.name}/{RUN}/model.safetensors"}


@pytest.mark.parametrize("run", ["../../other", "..", "/etc", "a/b"])
def test_a_runs_name_is_never_a_path(
    hub: Remote, fed: Federation, has: Callable[..., None], tmp_path: Path, run: str
) -> None:
    has(run, f"results/{run}/evil")
    with pytest.raises(NoResults, match="as the name of its run, which is none"):
        bring(hub, fed, home=tmp_path / "home")
    assert below(tmp_path) == set()
