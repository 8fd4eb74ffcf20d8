"""A results folder, read once at the door. What is not there is named as missing and never made up."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fl_app.errors import FlAppError

ROUNDS_FILE = "rounds.jsonl"
COMPARISON_FILE = "comparison.json"
MODEL_FILE = "model.json"
SUMMARY_FILE = "summary.json"

#: Names in the comparison, as :mod:`fl_app.compare` writes them (imported from there they would bring torch along).
FEDERATED, POOLED, LOCAL_PREFIX, ALL_SITES = "federated", "pooled", "local ", "all sites"
_NOT_STATED = "not stated"


class UnusableResults(FlAppError):
    """The results folder is missing, empty of results, or holds a file that is not what it should be."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures on held-out data, dimensionless; None where a figure is undefined or was not recorded."""

    loss: float | None = None
    auroc: float | None = None
    auprc: float | None = None


@dataclass(frozen=True, slots=True)
class Deviation:
    """How a site's update compared with the others of its round: norm of its change, cosine to theirs."""

    norm: float | None
    cosine: float | None
    stands_out: bool


@dataclass(frozen=True, slots=True)
class Round:
    """One round: the global model after it, on each site's held-out data. ``seconds`` is wall time."""

    number: int
    seconds: float | None
    answered: tuple[str, ...]
    federated: Metrics
    sites: Mapping[str, Metrics]
    deviations: Mapping[str, Deviation] = field(default_factory=dict)
    """Of the sites whose updates were compared."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Site to why its update was not taken."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One model on one site's held-out data, or on those of all sites together (:data:`ALL_SITES`)."""

    model: str
    tested_on: str
    metrics: Metrics
    samples: int | None
    positives: int | None
    """Samples of class 1; None where it was not recorded or there are more than two classes."""
    undefined: str | None = None
    """Why an area is undefined."""


@dataclass(frozen=True, slots=True)
class Results:
    """What a results folder holds."""

    rounds: tuple[Round, ...]
    comparison: tuple[Compared, ...]
    study: Mapping[str, Any]
    """What the comparison says about itself, its rows left out."""
    model: Mapping[str, Any]
    summary: Mapping[str, Any]
    source: str | None
    """Where the data come from, as the run recorded it; None where no file says so."""
    missing: tuple[str, ...] = field(default=())
    """What a reader would look for and will not find, a sentence each."""

    @property
    def sites(self) -> tuple[str, ...]:
        """Names of the sites, in the order in which they are first met."""
        names: dict[str, None] = {}
        for item in self.rounds:
            names |= dict.fromkeys(item.sites)
        names |= dict.fromkeys(row.tested_on for row in self.comparison if row.tested_on != ALL_SITES)
        return tuple(names)

    @property
    def is_synthetic(self) -> bool:
        """Whether the data were generated."""
        return "synthetic" in (self.source or "").lower()

    @property
    def is_rebuilt(self) -> bool:
        """Whether tables of the data were rebuilt rather than original."""
        return "rebuilt" in (self.source or "").lower()

    def find(self, model: str, tested_on: str) -> Compared | None:
        """Return one cell of the comparison, or None where it was not measured."""
        return next((r for r in self.comparison if r.model == model and r.tested_on == tested_on), None)


def read_results(folder: Path) -> Results:
    """Read what a run left behind.

    Args:
        folder: holds some of ``rounds.jsonl``, ``comparison.json``, ``model.json`` and ``summary.json``.

    Raises:
        UnusableResults: there is no such folder, neither rounds nor a comparison is in it, or a file cannot be used.
    """
    if not folder.is_dir():
        raise UnusableResults(f"{folder} is not a folder.", remedy="--results names a folder with rounds.jsonl.")
    missing: list[str] = []
    rounds = _rounds(folder / ROUNDS_FILE, missing)
    comparison = _object(folder / COMPARISON_FILE, missing, "federated, local-only and pooled models are not compared")
    model = _object(folder / MODEL_FILE, missing, "the model's settings and digest are not shown")
    summary = _object(folder / SUMMARY_FILE, missing, "the run's summary is not shown")
    if not rounds and not comparison:
        raise UnusableResults(
            f"{folder} holds no results: neither {ROUNDS_FILE} nor {COMPARISON_FILE} has anything in it.",
            remedy="The aggregator writes them; wait for the first round, or name another folder.",
        )
    source = _source(comparison, summary, model)
    if source is None:
        missing.append("No file says where the data come from.")
    return Results(
        rounds=rounds,
        comparison=_compared(folder / COMPARISON_FILE, comparison),
        study={name: value for name, value in comparison.items() if name != "rows"},
        model=model,
        summary=summary,
        source=source,
        missing=tuple(missing),
    )


def _rounds(path: Path, missing: list[str]) -> tuple[Round, ...]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        missing.append(f"{path.name} is missing: there is no curve over the rounds.")
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableResults(f"{path} cannot be read: {error}.") from None
    lines = text.splitlines()
    if lines and not text.endswith("\n") and not _is_json(lines[-1]):
        missing.append(f"The last line of {path.name} is incomplete; that round is left out.")
        lines.pop()
    found: dict[int, Round] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            item = _round(f"{path}:{number}", line)
            found[item.number] = item  # a round that was run again after a restart counts once, the last time
    return tuple(found[number] for number in sorted(found))


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _round(where: str, line: str) -> Round:
    try:
        record = json.loads(line)
        return Round(
            number=int(record["round"]),
            seconds=_number(record.get("seconds")),
            answered=tuple(str(site) for site in record.get("answered") or ()),
            federated=_metrics(record.get("federated") or {}, "test_loss"),
            sites={str(site["site"]): _metrics(site, "test_loss") for site in record.get("sites") or ()},
            deviations={
                str(site["site"]): Deviation(
                    _number(site.get("update_norm")), _number(site.get("cosine")), bool(site["outlier"])
                )
                for site in record.get("sites") or ()
                if site.get("outlier") is not None
            },
            refused={str(site): str(reason) for site, reason in (record.get("refused") or {}).items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnusableResults(f"{where} is not a round's record: {error!r}.") from None


def _object(path: Path, missing: list[str], consequence: str) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        missing.append(f"{path.name} is missing: {consequence}.")
        return {}
    except (OSError, ValueError) as error:
        raise UnusableResults(f"{path} cannot be read: {error}.") from None
    if not isinstance(found, dict):
        raise UnusableResults(f"{path} holds {type(found).__name__}; an object is expected.")
    return found


def _compared(path: Path, document: Mapping[str, Any]) -> tuple[Compared, ...]:
    try:
        return tuple(
            Compared(
                model=str(row["model"]),
                tested_on=str(row["tested_on"]),
                metrics=_metrics(row, "loss"),
                samples=_count(row.get("samples")),
                positives=_count(row.get("positives")),
                undefined=str(row["undefined"]) if row.get("undefined") else None,
            )
            for row in document.get("rows") or ()
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UnusableResults(f"{path}: a row is not a comparison's: {error!r}.") from None


def _source(*documents: Mapping[str, Any]) -> str | None:
    """Return what the first document that says anything says of the data: of each site's, or of the whole."""
    for document in documents:
        stated = document.get("sources") or document.get("source") or ()
        each = stated.values() if isinstance(stated, Mapping) else [stated] if isinstance(stated, str) else stated
        known = dict.fromkeys(str(text) for text in each if text != _NOT_STATED)
        if known:
            return ", ".join(known)
    return None


def _metrics(record: Mapping[str, Any], loss: str) -> Metrics:
    return Metrics(_number(record.get(loss)), _number(record.get("auroc")), _number(record.get("auprc")))


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None  # type: ignore[arg-type]  # checked one line above


def _count(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)
