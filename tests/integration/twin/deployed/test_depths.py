"""The whole demo at each depth: the same federated model, bit for bit; and nothing is left of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from twin_desk import Remains, TwinDesk

EXAMPLE = Path(__file__).parents[4] / "federation.yaml"


@pytest.mark.timeout(900)
def test_the_demo_ends_with_the_same_model_at_every_depth(make_desk: Callable[..., TwinDesk]) -> None:
    models: dict[str, str] = {}
    for depth in ("processes", "network", "machines"):
        desk = make_desk(depth)
        demo = desk.begin("--json", "demo", FEDERATE_FILE=str(EXAMPLE), EICU_DIR="")
        out, err = demo.communicate(timeout=600)
        assert demo.returncode == 0, err
        told = json.loads(out)
        (model,) = (desk.folder / "home" / "demo" / "results").rglob("summary.json")
        models[depth] = json.loads(model.read_text())["model_sha256"]
        assert told["audit"]["left"] == []
        assert Remains.now().of(desk) == []
        assert desk.processes() == {}
    assert len(set(models.values())) == 1, models
