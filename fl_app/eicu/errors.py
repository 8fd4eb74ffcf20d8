"""What can be wrong with eICU data: every error names the file, what is there, and what to do."""

from __future__ import annotations

from fl_app.errors import FlAppError


class EicuDataError(FlAppError):
    """Base of the errors in eICU data."""


class MissingTable(EicuDataError):
    """A table is not in the folder, or is there twice."""


class MissingColumn(EicuDataError):
    """A table lacks a column, or has it twice."""


class UnreadableTable(EicuDataError):
    """A file is truncated, not UTF-8, or holds text where a whole number must stand."""


class EmptyTable(EicuDataError):
    """A table, or what its rules leave of it, has no rows."""


class UnusableSplit(EicuDataError):
    """A split over sites or into train and test cannot be made, or separates what belongs together."""


class OneClassOnly(EicuDataError):
    """A site's training stays all have the same outcome: nothing can be learned there."""


class FolderTaken(EicuDataError):
    """An output folder holds something that another command made."""
