"""What a check finds, before it is known on which line of which file it stands."""

from __future__ import annotations

from dataclasses import dataclass

from infra.errors import Problem, Severity
from infra.federation.source import Document, Path


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or worth knowing.

    Args:
        path: the value it is about.
        found: a clause that follows the path: ``10.1.0.0/16 overlaps hospital-a (10.1.0.0/16).``
        allowed: what may stand there, as a sentence.
        remedy: the next step, as a sentence.
        concerns: further values that it rests on: if one of them is not valid itself, the finding means nothing.
        line: the line, where it is about no value: a comment, or text that cannot be read.
        is_about_missing_image: whether it is that a node has no machine image, which is no fault before one is pinned.
    """

    path: Path
    found: str
    allowed: str = ""
    remedy: str = ""
    severity: Severity = Severity.ERROR
    concerns: tuple[Path, ...] = ()
    line: int | None = None
    is_about_missing_image: bool = False

    def rests_on(self, paths: set[Path]) -> bool:
        """Tell whether the finding is about one of these values, or about a part of one."""
        return any(
            concern[:length] in paths
            for concern in (self.path, *self.concerns)
            for length in range(1, len(concern) + 1)
        )

    def problem(self, document: Document, file: str) -> Problem:
        """Return the finding with its place in the file."""
        place = f"{file}:{self.line or document.line(self.path)}"
        where = f"{place}  {dotted(self.path)}" if self.path else place
        return Problem(where, self.found, self.allowed, self.remedy, self.severity)


def dotted(path: Path) -> str:
    """Return a path as one writes it: ``participants[1].cidr``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
