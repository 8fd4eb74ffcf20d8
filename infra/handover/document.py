"""The hand-over file: what a site gives the coordinator. It comes from outside, so every field of it is checked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.errors import FederateError, Problem
from infra.federation.derive import Node, nodes
from infra.federation.model import Federation
from infra.federation.words import did_you_mean, listed

FORMAT = "federate-hand-over/1"
_MOST_BYTES = 1 << 16
_TEXTS = ("format", "federation", "site", "account", "region", "release", "request")
_SHOWN = 60
_DIGEST = r"[0-9a-f]{64}"
_PEM = r"-----BEGIN CERTIFICATE REQUEST-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE REQUEST-----\n?"


class BadHandOver(FederateError):
    """A hand-over file is not one, or not this federation's; carries every problem at once."""

    exit_code = 2

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class HandOver:
    """What a site has handed over.

    Args:
        node: the site, as the federation has it.
        values: the hub's link's parameters by name: identifiers, checked for their form only.
        release: SHA-256 of the release that the site's admin approved.
        request: the node's signing request, PEM.
    """

    node: Node
    values: Mapping[str, str]
    release: str
    request: str


def read(path: Path, federation: Federation, patterns: Mapping[str, Mapping[str, str]]) -> HandOver:
    """Read a hand-over file.

    Args:
        path: the file.
        federation: whose coordinator reads it.
        patterns: by site, the parameters of the hub's link to it and the pattern that each has to match.

    Raises:
        BadHandOver: with every problem of the file.
    """
    document = _object(path)
    problems = list(_wrong_fields(str(path), document))
    if problems:
        raise BadHandOver(problems)
    sites = {node.id: node for node in nodes(federation)[1:]}
    node = sites.get(document["site"])
    if document["federation"] != federation.name or node is None:
        raise BadHandOver(list(_wrong_place(str(path), document, federation, list(sites))))
    problems = list(_wrong_values(str(path), document, node, patterns[node.id]))
    if problems:
        raise BadHandOver(problems)
    return HandOver(node, dict(document["values"]), document["release"], document["request"])


def _object(path: Path) -> dict[str, Any]:
    remedy = "Take the handover.json that `python3 site.py deploy` wrote at the site."
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadHandOver([Problem(str(path), f"cannot be read: {error.strerror}.", remedy=remedy)]) from None
    try:
        if len(content) > _MOST_BYTES:
            raise ValueError(f"{len(content)} bytes; a hand-over has some 2,000")
        found = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadHandOver([Problem(str(path), f"is no hand-over: {error}.", "JSON.", remedy)]) from None
    if not isinstance(found, dict):
        raise BadHandOver([Problem(str(path), "is no hand-over.", "A JSON object.", remedy)])
    return found


def _wrong_fields(file: str, document: Mapping[str, Any]) -> Iterator[Problem]:
    """Find what is missing, unknown or of another kind than it should be."""
    again = "Ask the site for the file anew, unchanged."
    known = (*_TEXTS, "values")
    allowed = f"A hand-over has {listed(list(known))}."
    for name in known:
        if name not in document:
            yield Problem(f"{file}  {name}", "is missing.", allowed, again)
    for name in document:
        if name not in known:
            yield Problem(
                f"{file}  {_printable(name)}", "is unknown.", f"A hand-over has {listed(list(known))}.", again
            )
    for name in _TEXTS:
        if name in document and not isinstance(document[name], str):
            yield Problem(f"{file}  {name}", f"{_short(document[name])} is not text.", "Text.", again)
    values = document.get("values", {})
    if not isinstance(values, dict) or not all(isinstance(one, str) for one in values.values()):
        yield Problem(f"{file}  values", "is not an object of texts.", "Identifiers by their names.", again)
    if document.get("format") not in (FORMAT, None) and isinstance(document.get("format"), str):
        found = f"{_short(document['format'])} is not a format that is known here."
        yield Problem(f"{file}  format", found, f"{FORMAT}.", "Is the kit of another version? Export it anew.")
    for name, pattern, what in (
        ("release", _DIGEST, "The SHA-256 of the approved release: 64 lower-case hexadecimal digits."),
        ("request", _PEM, "One signing request in PEM (PKCS #10)."),
    ):
        value = document.get(name)
        if isinstance(value, str) and not re.fullmatch(pattern, value):
            yield Problem(f"{file}  {name}", f"{_short(value)} is none.", what, again)


def _wrong_place(file: str, document: Mapping[str, Any], federation: Federation, sites: list[str]) -> Iterator[Problem]:
    name, site = document["federation"], document["site"]
    if name != federation.name:
        remedy = "Name that federation's file: federate --file FILE join …"
        yield Problem(f"{file}  federation", f"is {_short(name)}.", f"{federation.name}.", remedy)
    if site not in sites:
        remedy = did_you_mean(site, sites) or f"Add it: federate add-site {_short(site)}."
        yield Problem(f"{file}  site", f"{_short(site)} is not a site here.", f"One of {listed(sites)}.", remedy)


def _wrong_values(file: str, document: Mapping[str, Any], node: Node, patterns: Mapping[str, str]) -> Iterator[Problem]:
    for name, due in (("account", node.account), ("region", node.region)):
        if document[name] != due:
            remedy = f"The plan has {node.id} there. Correct the plan and export anew, or deploy in the right place."
            yield Problem(f"{file}  {name}", f"is {_short(document[name])}.", f"{due}.", remedy)
    values = document["values"]
    for name, pattern in patterns.items():
        where = f"{file}  values.{name}"
        if name not in values:
            yield Problem(where, "is missing.", f"It matches {pattern}.", "Ask the site for the file anew, unchanged.")
        elif not re.fullmatch(pattern, values[name]):
            remedy = "It is an output of the site's network stack."
            yield Problem(where, f"{_short(values[name])} is none.", f"It matches {pattern}.", remedy)
    for name in values:
        if name not in patterns:
            allowed = f"{listed(sorted(patterns))} are asked for."
            yield Problem(f"{file}  values.{_printable(name)}", "is unknown.", allowed, "Export the kit anew.")


def _short(value: Any) -> str:
    """Return a value from outside in quotes, as it may be shown."""
    return repr(_printable(value if isinstance(value, str) else json.dumps(value)))


def _printable(text: str) -> str:
    """Return a text from outside as it may be shown: on one line, without what a terminal obeys, and not long."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}…"
