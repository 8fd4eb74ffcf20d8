"""What is written about a round: who answered, and the metrics of its global model on every site's held-out data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fl_app.plugins import Update
from fl_app.rounds.book import RoundBook

Record = dict[str, Any]

_EVALUATED = ("test_samples", "test_loss", "auroc", "auprc")


def opened_record(
    book: RoundBook, seconds: float, updates: Sequence[Update], unusual: Mapping[str, Mapping[str, Any]]
) -> Record:
    """Return the record of a round that is being closed, its model not evaluated yet.

    Args:
        book: of the round; it knows who was asked, and what each site sent with its update.
        seconds: from its opening to its closing.
        updates: those that are aggregated.
        unusual: site to how its update compares with the others, see :mod:`fl_app.learning.outliers`.
    """
    metrics = book.answers
    return {
        "round": book.round,
        "rounds": book.rounds,
        "seconds": round(seconds, 6),
        "asked": list(book.asked),
        "answered": [update.site for update in updates],
        "sites": [
            {
                "site": update.site,
                "samples": update.samples,
                "train_loss": metrics[update.site].get("train_loss"),
                **dict.fromkeys(_EVALUATED),
                "fit_seconds": metrics[update.site].get("fit_seconds"),
                **unusual.get(update.site, {}),
            }
            for update in updates
        ],
    }


def evaluated_record(record: Record, evaluations: Mapping[str, Mapping[str, Any]]) -> Record:
    """Return the record with the evaluations of its global model, which came with the next round's answers.

    Args:
        record: from :func:`opened_record`.
        evaluations: site to metrics; a site that evaluated and did not take part in the round is added, without a fit.
    """
    sites = {site["site"]: dict(site) for site in record["sites"]}
    for name, metrics in evaluations.items():
        site = sites.setdefault(name, {"site": name, "samples": 0, "train_loss": None, "fit_seconds": None})
        site.update({key: metrics.get(key) for key in _EVALUATED})
    listed = list(sites.values())
    federated = {
        "train_loss": weighted_mean(listed, "train_loss", "samples"),
        **{key: weighted_mean(listed, key, "test_samples") for key in ("test_loss", "auroc", "auprc")},
    }
    return {**record, "sites": listed, "federated": federated}


def in_words(record: Record) -> str:
    """Return a record as the log tells it."""
    federated = record["federated"]
    told = [f"{name} {federated[name]:.4f}" for name in ("test_loss", "auroc", "auprc") if federated[name] is not None]
    return ", ".join([*told, f"{len(record['answered'])} sites", f"{record['seconds']:.2f} s"])


def weighted_mean(sites: Sequence[Mapping[str, Any]], key: str, weight: str) -> float | None:
    """Return the mean of a metric over the sites that have it, weighted by their samples; None if none has."""
    known = [(site[key], site[weight]) for site in sites if site.get(key) is not None and site.get(weight)]
    total = sum(count for _, count in known)
    return sum(value * count for value, count in known) / total if total else None
