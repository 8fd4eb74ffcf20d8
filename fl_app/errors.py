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


class ConfigError(FlAppError):
    """A run file is missing, cannot be read, or says what the application cannot do."""


class PluginError(FlAppError):
    """A data set, model or aggregation is not installed, cannot be imported, or breaks its contract."""


class StateError(FlAppError):
    """The state folder cannot be used: not writable, or every checkpoint in it is damaged."""


class TrainingError(FlAppError):
    """The fit cannot go on: no samples, or weights that are no longer numbers."""


class IdentityError(FlAppError):
    """A key or certificate is missing, unreadable or refused by the other side."""

    exit_code = 3


class RefusedError(FlAppError):
    """The aggregator refused what this site sent, and says why."""


class Stopped(FlAppError):
    """A signal asked the process to end."""

    exit_code = 130


class Cancelled(FlAppError):
    """The coordinator has ended the run for good."""

    exit_code = 5


class WithheldError(FlAppError):
    """A message holds what this site has not declared; it has not left."""
