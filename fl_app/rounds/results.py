"""What a run leaves in the output folder: rounds, progress, the global model and a summary."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from fl_app.config import RunConfig
from fl_app.learning.state import digest_of
from fl_app.rounds.book import RoundBook
from fl_app.rounds.files import RoundLines, make_folder, write_atomically, write_json
from fl_app.rounds.ledger import Ledger
from fl_app.rounds.records import Record
from fl_app.rounds.shown import Shown

_ROUNDS, _PROGRESS, _MODEL, _MODEL_FACTS, _SUMMARY = _FILES = (
    "rounds.jsonl",
    "progress.json",
    "model.safetensors",
    "model.json",
    "summary.json",
)
_PACKAGES = ("federate", "fedml", "torch", "numpy", "grpcio", "safetensors")


class Results:
    """The output folder of one node."""

    def __init__(self, folder: Path, *, new_run: bool = False, progress_pause: float = 0.0) -> None:
        """Use this folder.

        Args:
            folder: made if it is not there.
            new_run: begin without the results of the run before.
            progress_pause: seconds that the progress is not written again after it was.
        """
        self._folder = make_folder(folder)
        if new_run:
            for name in _FILES:
                (self._folder / name).unlink(missing_ok=True)
        self._lines = RoundLines(self._folder / _ROUNDS)
        self._progress = Shown(self._folder / _PROGRESS, pause=progress_pause)

    def round(self, record: Mapping[str, Any]) -> None:
        """Add a round's record; it survives a crash of the process, and a power cut after :meth:`sync`."""
        self._lines.append(dict(record))

    def sync(self) -> None:
        """Wait until all records would survive a power cut."""
        self._lines.sync()

    def progress(self, *, round_: int, rounds: int, phase: str, waiting_for: Sequence[str]) -> None:
        """Say where the node stands; written only if it has changed, and at once where nothing more will be said."""
        now = {"round": round_, "rounds": rounds, "phase": phase, "waiting_for": list(waiting_for)}
        self._progress.show(now, at_once=phase == "finished")

    def model(self, config: RunConfig, state: OrderedDict[str, Tensor], *, ledger: Ledger, book: RoundBook) -> str:
        """Write the global model and where it comes from.

        Args:
            config: the aggregator's.
            state: the weights.
            ledger: who took part, and with which data.
            book: how many rounds, and the sites' samples.

        Returns:
            The SHA-256 of ``model.safetensors``, which depends on nothing but the weights.
        """
        data = safetensors.torch.save(dict(state))
        digest = digest_of(data)
        write_atomically(self._folder / _MODEL, data)
        write_json(
            self._folder / _MODEL_FACTS,
            {
                "federation": config.federation,
                "model": config.model.name,
                "options": dict(config.model.options),
                "dataset": {"name": config.dataset.name, "options": dict(config.dataset.options)},
                "aggregation": {"name": config.aggregation.name, "options": dict(config.aggregation.options)},
                "run": ledger.run,
                "rounds": book.rounds,
                "sites": sorted(ledger.took_part),
                "samples": {site: book.samples.get(site) for site in sorted(ledger.took_part)},
                "rounds_taken_part_in": dict(sorted(ledger.took_part.items())),
                "data_sha256": dict(sorted(ledger.data.items())),
                "training": asdict(config.training),
                "policy": asdict(config.policy),
                "seed": config.training.seed,
                "versions": versions(),
                "sha256": digest,
            },
        )
        return digest

    def summary(
        self, config: RunConfig, *, ledger: Ledger, book: RoundBook, seconds: float, last: Record, digest: str
    ) -> dict[str, Any]:
        """Write and return the summary of a run that is done."""
        stopping = config.training.early_stopping
        told = {
            "federation": config.federation,
            "run": ledger.run,
            "outcome": "stopped early" if book.ends_after else "done",
            "rounds": book.rounds,
            "sites": sorted(ledger.took_part),
            **(
                {"best": {"metric": stopping.metric, "value": ledger.best.value, "round": ledger.best.round}}
                if stopping and ledger.best
                else {}
            ),
            "seconds": round(seconds, 3),
            "federated": last["federated"],
            "model_sha256": digest,
            "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        write_json(self._folder / _SUMMARY, told)
        return told

    def cancelled(self, config: RunConfig, *, ledger: Ledger, book: RoundBook) -> dict[str, Any]:
        """Write and return the summary of a run that was cancelled: it has no model."""
        told = {
            "federation": config.federation,
            "run": ledger.run,
            "outcome": "cancelled",
            "rounds": book.round,
            "sites": sorted(ledger.took_part),
            "seconds": round(time.time() - ledger.started_at, 3),
            "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        write_json(self._folder / _SUMMARY, told)
        return told


def versions() -> dict[str, str]:
    """Return the versions that a model was made with."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    found["torch"] = torch.__version__
    return found
