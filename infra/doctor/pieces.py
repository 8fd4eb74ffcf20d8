"""What is collected, and what could not be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Piece:
    """A file of the archive, before its secrets are taken out.

    Args:
        name: its path in the archive: ``nodes/hospital-a/log.txt``.
        about: what is in it, for the list of contents.
        text: its content.
        public: what looks like a secret and is none: serial numbers, digests.
    """

    name: str
    about: str
    text: str
    public: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that could not be collected, and why; that is told and is no error."""

    name: str
    about: str
    why: str


def document(content: Any) -> str:
    """Return something as JSON for a piece."""
    return json.dumps(content, indent=1, default=str, ensure_ascii=False) + "\n"
