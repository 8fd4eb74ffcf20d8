"""Whether what is to be trained is there, and whether rounds can end."""

from __future__ import annotations

import math
from typing import Any

from infra.errors import Severity
from infra.federation import fedml_words, registry
from infra.federation.finding import Finding
from infra.federation.model import Federation
from infra.federation.registry import Installed
from infra.federation.source import Path
from infra.federation.words import did_you_mean, listed

#: Built-in aggregations that leave extremes out, and the fewest updates that they work with.
ROBUST = ("trimmed_mean", "median")
ROBUST_FEWEST = 5


def check(federation: Federation, installed: Installed) -> list[Finding]:
    """Check plug-ins and policy; ``installed`` names the plug-ins there are."""
    return [*_plugins(federation, installed), *_aggregation(federation), *_policy(federation)]


def _plugins(federation: Federation, installed: Installed) -> list[Finding]:
    findings: list[Finding] = []
    training = federation.training
    for key, group, plugin in (
        ("dataset", registry.DATASETS, training.dataset),
        ("model", registry.MODELS, training.model),
        ("aggregation", registry.AGGREGATIONS, training.aggregation),
    ):
        names = installed.get(group, ())
        if plugin.name not in names:
            findings.append(
                Finding(
                    ("training", key),
                    f"there is no {key} {plugin.name}.",
                    f"Installed: {listed(names)}.",
                    did_you_mean(plugin.name, names) or f"Install the package that gives it to {group}.",
                )
            )
        findings += _fedml_switches(plugin.options, ("training", key, "options"))
    return findings


def _fedml_switches(value: Any, path: Path) -> list[Finding]:
    if isinstance(value, list):
        return [found for index, inner in enumerate(value) for found in _fedml_switches(inner, (*path, index))]
    if not isinstance(value, dict):
        return []
    findings: list[Finding] = []
    for key, inner in value.items():
        if key in fedml_words.REFUSED:
            found, allowed, remedy = fedml_words.explain(key) or ("", "", "")
            findings.append(Finding((*path, key), found, allowed, remedy))
        findings += _fedml_switches(inner, (*path, key))
    return findings


def _aggregation(federation: Federation) -> list[Finding]:
    """Check what the built-in aggregations need; they say the same at the nodes, when it is late."""
    training, policy, sites = federation.training, federation.policy, len(federation.participants)
    name = training.aggregation.name
    if name == "scaffold" and training.optimizer != "sgd":
        return [
            Finding(
                ("training", "aggregation"),
                f"scaffold works with the optimizer sgd; training.optimizer is {training.optimizer}.",
                "Its controls are mean gradients, worked out from how far plain SGD has gone.",
                "Set training.optimizer: sgd, with a learning rate for it; or take fedprox, which works with all.",
                concerns=(("training", "optimizer"),),
            )
        ]
    asked = _asked(federation)
    updates = min(policy.quorum or asked, asked)
    if name not in ROBUST or updates >= ROBUST_FEWEST:
        return []
    by_selection = asked < ROBUST_FEWEST <= sites
    by_quorum = asked >= ROBUST_FEWEST
    found = (
        f"{name} needs {ROBUST_FEWEST} updates in every round; policy.quorum lets a round close with {updates}."
        if by_quorum
        else f"{name} needs {ROBUST_FEWEST} updates in every round; policy.selection asks {asked} sites."
        if by_selection
        else f"{name} needs at least {ROBUST_FEWEST} participants; there are {sites}."
    )
    remedy = (
        f"Set policy.quorum to {ROBUST_FEWEST} or more, or leave it out."
        if by_quorum
        else f"Ask {ROBUST_FEWEST} sites or more, or take fedavg."
        if by_selection
        else "Take fedavg."
    )
    return [
        Finding(
            ("training", "aggregation"),
            found,
            "With fewer, next to nothing is left without the extremes: the median of two is their mean.",
            remedy,
            concerns=(
                ("policy", "quorum" if by_quorum else "selection") if sites >= ROBUST_FEWEST else ("participants",),
            ),
        )
    ]


def _policy(federation: Federation) -> list[Finding]:
    policy, sites = federation.policy, len(federation.participants)
    if policy.quorum is not None and policy.quorum > sites:
        return [
            Finding(
                ("policy", "quorum"),
                f"{policy.quorum} is more than there are sites ({sites}): no round could ever close.",
                f"1 to {sites}.",
                "Lower it, or leave it out to wait for all.",
                concerns=(("participants",),),
            )
        ]
    return [*_selection(federation), *_deadline(federation)]


def _selection(federation: Federation) -> list[Finding]:
    policy = federation.policy
    selection = policy.selection
    if selection.method == "all":
        if selection.fraction < 1:
            return [
                Finding(
                    ("policy", "selection", "fraction"),
                    f"{selection.fraction:g} changes nothing: the method all asks all sites.",
                    "",
                    "Set the method to fraction or data_size, or leave the fraction out.",
                    Severity.WARNING,
                )
            ]
        return []
    asked = _asked(federation)
    if policy.quorum is not None and policy.quorum > asked:
        return [
            Finding(
                ("policy", "quorum"),
                f"{policy.quorum} is more than the {asked} sites that are asked in a round.",
                f"1 to {asked}.",
                f"Lower it, or raise policy.selection.fraction from {selection.fraction:g}.",
                concerns=(("policy", "selection"),),
            )
        ]
    return []


def _asked(federation: Federation) -> int:
    """Return how many sites are asked in a round."""
    selection, sites = federation.policy.selection, len(federation.participants)
    return sites if selection.method == "all" else max(1, math.ceil(selection.fraction * sites - 1e-9))


def _deadline(federation: Federation) -> list[Finding]:
    policy, sites = federation.policy, len(federation.participants)
    if isinstance(policy.round_deadline_seconds, float | int) and policy.quorum in (None, sites):
        return [
            Finding(
                ("policy", "round_deadline_seconds"),
                "changes nothing: at the deadline a round closes with a quorum, and the quorum is all sites.",
                "",
                "Set policy.quorum to the number of sites that is enough, or leave the deadline out.",
                Severity.WARNING,
                (("participants",), ("policy", "quorum")),
            )
        ]
    return []
