"""What AWS and the CDK command say when something fails, and what that means: the cause, and what to do about it.

One table for every place where such words reach a user: a stack's events, the answer to a call, the output of the CDK
command. The words themselves are always shown as well; here is only what they leave out. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.remedies.words import ENTRIES, REFUSED, UNSAID

__all__ = ["KNOWN", "Meaning", "meaning"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What went wrong, and the next step."""

    id: str
    cause: str
    remedy: str
    exit_code: int = REFUSED


#: The ids of all meanings, for who counts them.
KNOWN = tuple(entry.id for entry in ENTRIES)


def meaning(words: str, *, profile: str = "", region: str = "") -> Meaning | None:
    """Return what some words of AWS's or the CDK command's mean, or None where they are not known.

    Args:
        words: an error message with its code, the reason of a stack's event, or a command's output.
        profile: of the account that was asked, for the commands of a remedy.
        region: of the account that was asked.
    """
    place = {"profile": profile or "PROFILE", "region": region or "REGION"}
    for entry in ENTRIES:
        found = entry.pattern.search(words)
        if found:
            named = {name: value for name, value in found.groupdict().items() if value is not None}
            told = {**UNSAID, **place, **named}
            return Meaning(entry.id, entry.cause.format_map(told), entry.remedy.format_map(told), entry.exit_code)
    return None
