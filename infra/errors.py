"""The errors of the operator's side: each says what was found, where, what is allowed and the next step."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters: errors stop, warnings and notices are shown."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding.

    Args:
        where: the place, as a user would look for it: ``federation.yaml:14  participants[1].cidr``.
        found: what is there.
        allowed: what may stand there.
        remedy: the next step.
    """

    where: str
    found: str
    allowed: str = ""
    remedy: str = ""
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        """Render the finding as two lines: where and what; then what is allowed and what to do."""
        head = f"{self.where}: {self.found}"
        tail = " ".join(part for part in (self.allowed, self.remedy) if part)
        return f"{head}\n  {tail}" if tail else head

    def as_dict(self) -> dict[str, str]:
        """Return the finding for ``--json``."""
        return asdict(self)


class FederateError(Exception):
    """Base of every error that a user sees; the command line prints it and exits with ``exit_code``."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        """Render the message and, on a line of its own, the next step."""
        message = super().__str__()
        return f"{message}\n  {self.remedy}" if self.remedy else message


class InvalidFederation(FederateError):
    """``federation.yaml`` does not describe a federation; carries every problem at once."""

    exit_code = 2

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
