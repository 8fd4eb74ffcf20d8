"""Where the aggregator's metrics go besides ``rounds.jsonl``; nowhere, unless W&B is on."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol

from fl_app.config import RunConfig


class Tracker(Protocol):
    """Told of every round and of the end."""

    def round(self, record: dict[str, Any]) -> None:
        """Take a round's record."""

    def finish(self, summary: dict[str, Any]) -> None:
        """Take the summary and close."""


class NoTracker:
    """The default."""

    def round(self, record: dict[str, Any]) -> None:
        """Ignore it."""

    def finish(self, summary: dict[str, Any]) -> None:
        """Ignore it."""


def open_tracker(config: RunConfig, output: Path) -> Tracker:
    """Return the tracker that the run files ask for; the W&B package is imported only then."""
    if not config.wandb.enabled:
        return NoTracker()
    tracker: Tracker = importlib.import_module("fl_app.tracking").open_tracker(config, output)
    return tracker
