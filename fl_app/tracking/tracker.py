"""Where the aggregator's metrics go besides its files: nowhere, or into an offline run of Weights & Biases.

A node has no way out to the internet and holds no key, so the run is only written, under ``output/wandb``; the
operator's side uploads it afterwards. What is logged is chosen here by name: metrics, counts and the run's settings.
Nothing about the machine, no source code and no row of anybody's data is in it.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from fl_app.config import RunConfig
from fl_app.errors import ConfigError

_LOG = logging.getLogger(__name__)

#: What is logged of a round, by name; ``rounds.jsonl`` holds all of it.
FEDERATED_METRICS = ("train_loss", "test_loss", "auroc", "auprc")
SITE_METRICS = (*FEDERATED_METRICS, "samples", "test_samples", "fit_seconds")


class Tracker(Protocol):
    """Takes the records of a run as they are made."""

    def round(self, record: Mapping[str, Any]) -> None:
        """Take one record of ``rounds.jsonl``."""

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Take the run's summary and close what is open."""


class NoTracker:
    """Tracking is off."""

    def round(self, record: Mapping[str, Any]) -> None:
        """Do nothing."""

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Do nothing."""


def open_tracker(config: RunConfig, output: Path) -> Tracker:
    """Return the tracker that the run's settings ask for.

    Args:
        config: the aggregator's run files.
        output: the aggregator's output folder; an offline run lies in its ``wandb/``.

    Raises:
        ConfigError: tracking is on, and W&B is not installed or cannot start.
    """
    return OfflineRun(config, output) if config.wandb.enabled else NoTracker()


def history(record: Mapping[str, Any]) -> dict[str, float]:
    """Return what W&B is given of one record: flat names, finite numbers only.

    Returns:
        ``federated/<metric>`` (unit of the metric), ``sites/<site>/<metric>`` likewise, ``round/seconds`` and
        ``round/answered`` (sites). A metric that is null, such as an AUROC with one class, is left out.
    """
    flat: dict[str, Any] = {
        "round/seconds": record.get("seconds"),
        "round/answered": len(record.get("answered") or ()),
    }
    federated = record.get("federated") or {}
    flat |= {f"federated/{name}": federated.get(name) for name in FEDERATED_METRICS}
    for site in record.get("sites") or ():
        flat |= {f"sites/{site['site']}/{name}": site.get(name) for name in SITE_METRICS}
    return {name: value for name, value in flat.items() if _is_number(value)}


def run_settings(config: RunConfig) -> dict[str, Any]:
    """Return the run's settings as W&B shows them: what was trained and how, and by which sites."""
    return {
        "federation": config.federation,
        "sites": list(config.roster),
        "dataset": asdict(config.dataset),
        "model": asdict(config.model),
        "aggregation": asdict(config.aggregation),
        "training": asdict(config.training),
        "policy": asdict(config.policy),
    }


class OfflineRun:
    """A Weights & Biases run in offline mode. A fault while logging is a warning: it must not cost the training."""

    def __init__(self, config: RunConfig, output: Path) -> None:
        self._scratch = tempfile.mkdtemp(prefix="federate-wandb-")
        output.mkdir(parents=True, exist_ok=True)
        # Read by wandb when it is imported and by its helper process when it starts: no error reports to its makers,
        # and no file in the home folder, which on a node may not be writable.
        os.environ["WANDB_ERROR_REPORTING"] = "false"
        for name in ("CACHE", "CONFIG", "DATA"):
            os.environ[f"WANDB_{name}_DIR"] = self._scratch
        try:
            import wandb
        except ImportError:
            raise ConfigError(
                "tracking.wandb is on, but the package wandb is not installed here.",
                remedy="Install federate[node], or set tracking.wandb to false in federation.yaml.",
            ) from None
        self._wandb = wandb
        try:
            self._run = wandb.init(
                project=config.wandb.project,
                entity=config.wandb.entity,
                name=config.federation,
                group=config.federation,
                job_type="aggregator",
                config=run_settings(config),
                settings=_offline(wandb, output),
            )
        except (wandb.Error, OSError) as error:
            raise ConfigError(
                f"tracking.wandb is on, but W&B cannot start a run in {output / 'wandb'}: {error}."
            ) from error
        self._folder = Path(self._run.dir).parent

    def round(self, record: Mapping[str, Any]) -> None:
        """Log one record; the step is the round."""
        try:
            self._run.log(history(record), step=int(record["round"]))
        except (self._wandb.Error, OSError) as error:
            _LOG.warning(
                "W&B did not take round %s: %s. Training goes on; rounds.jsonl has it.", record["round"], error
            )

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the summary's texts and numbers and close the run."""
        try:
            self._run.summary.update(
                {name: value for name, value in summary.items() if isinstance(value, str) or _is_number(value)}
            )
            self._run.finish()
            self._wandb.teardown()
        except (self._wandb.Error, OSError) as error:
            _LOG.warning("W&B did not close its run: %s. The files of the run that exist can be uploaded.", error)
        # Its logs speak of this machine, and links lead out of the folder; the run itself is the one .wandb file.
        for leftover in ("logs", "tmp"):
            shutil.rmtree(self._folder / leftover, ignore_errors=True)
        shutil.rmtree(self._scratch, ignore_errors=True)


def _offline(wandb: Any, output: Path) -> Any:
    """Return settings under which W&B writes one file and looks at nothing else."""
    return wandb.Settings(
        mode="offline",
        root_dir=str(output),
        host="",
        username="",
        console="off",
        silent=True,
        symlink=False,
        save_code=False,
        disable_code=True,
        disable_git=True,
        x_save_requirements=False,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_disable_viewer=True,
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
