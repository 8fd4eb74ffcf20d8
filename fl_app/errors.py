"""The errors of the application: each says what was found, where, what is allowed and the next step."""

from __future__ import annotations


class FlAppError(Exception):
    """Base of every error that a user of the application sees; the command line prints it and exits with its code."""

    exit_code = 2

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        """Render the message and, on a line of its own, the next step."""
        message = super().__str__()
        return f"{message}\n  {self.remedy}" if self.remedy else message
