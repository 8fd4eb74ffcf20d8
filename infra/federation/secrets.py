"""Secrets do not belong in a file that goes into version control and over to other accounts."""

from __future__ import annotations

import re
from typing import Any

from infra.federation.finding import Finding
from infra.federation.source import Document, Path

_KEY = re.compile(
    r"^(.*[_-])?((api|wandb|private|secret|access)[_-]?key(_id)?|secret|password|passwd|"
    r"(auth|access|api|session|bearer)[_-]?token)$|^token$|^credentials?$",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----|\bwandb_v1_\w{20,}|\bgh[pousr]_[0-9A-Za-z]{36}"
)
#: A W&B key is 40 hexadecimal digits, and so is a commit: it counts where W&B is spoken of.
_WANDB = re.compile(r"^(local-)?[0-9a-f]{40}$")

_ALLOWED = "No secret stands in this file: it is shared between accounts and kept under version control."
_REMEDY = (
    "Take it out, and renew it if the file was shared. AWS credentials belong to the profile, "
    "the W&B key in WANDB_API_KEY on the operator's side."
)


def secrets(document: Document, text: str) -> list[Finding]:
    """Find what is, or is named like, a secret, in values and comments; the secret itself is in no message."""
    comments = (
        Finding((), "a secret in a comment.", _ALLOWED, _REMEDY, line=number)
        for number, line in enumerate(text.splitlines(), start=1)
        if _VALUE.search(line.partition("#")[2])
    )
    return [*_in_values(document.data, ()), *comments]


def _in_values(value: Any, path: Path) -> list[Finding]:
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in _in_values(inner, (*path, str(key)))]
    if isinstance(value, list):
        return [found for index, inner in enumerate(value) for found in _in_values(inner, (*path, index))]
    if not isinstance(value, str) or not value:
        return []
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    about_wandb = "tracking" in path or "wandb" in key.lower()
    if _VALUE.search(value) or (about_wandb and _WANDB.match(value)) or _KEY.match(key):
        return [Finding(path, "is a secret.", _ALLOWED, _REMEDY)]
    return []
