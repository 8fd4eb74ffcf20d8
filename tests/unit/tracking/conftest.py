"""A results folder as a run of two sites leaves it, in the words of the files' writers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SITES = ("hospital-a", "hospital-b")


def record(number: int, **federated: Any) -> dict[str, Any]:
    whole = {"train_loss": 0.5, "test_loss": 0.6, "auroc": 0.7, "auprc": 0.3, **federated}
    sites = [
        {"site": site, "samples": 100, "train_loss": 0.5, "test_samples": 40, "fit_seconds": 0.1} for site in SITES
    ]
    figures = ({"test_loss": 0.55, "auroc": 0.75, "auprc": 0.35}, {"test_loss": 0.65, "auroc": 0.65, "auprc": None})
    return {
        "round": number,
        "rounds": 3,
        "seconds": 0.5,
        "answered": list(SITES),
        "sites": [site | figure for site, figure in zip(sites, figures, strict=True)],
        "federated": whole,
    }


def comparison(source: str = "synthetic", **cell: Any) -> dict[str, Any]:
    figures = {"auroc": 0.7, "auprc": 0.3, "loss": 0.6, "samples": 40, "positives": 10, "undefined": None} | cell
    models = ("federated", *(f"local {site}" for site in SITES), "pooled")
    places = (*SITES, "all sites")
    return {
        "federation": "eicu",
        "sources": dict.fromkeys(SITES, source),
        "seed": 0,
        "rows": [{"model": model, "tested_on": place, **figures} for model in models for place in places],
    }


@pytest.fixture
def results_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a results folder; any file may be replaced by other content, or left out by None."""

    def write(**files: Any) -> Path:
        content: dict[str, Any] = {
            "rounds": [record(0, auroc=0.5), record(1, auroc=0.6), record(2)],
            "comparison": comparison(),
            "model": {
                "federation": "eicu",
                "model": "logistic_regression",
                "options": {"inputs": 22100},
                "sha256": "ab",
            },
            "summary": {"federation": "eicu", "rounds": 3, "seconds": 1.5},
        } | files
        for name, value in content.items():
            if value is None:
                continue
            if name == "rounds" and not isinstance(value, str):
                value = "".join(json.dumps(line) + "\n" for line in value)
            text = value if isinstance(value, str) else json.dumps(value)
            (tmp_path / (f"{name}.jsonl" if name == "rounds" else f"{name}.json")).write_text(text)
        return tmp_path

    return write
