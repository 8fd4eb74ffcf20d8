"""Collects what helps to find out what is wrong with a federation into one file that may be handed to somebody else.

Only what is named here is collected, none of it from where patients' data are, and all of it goes through ``redact``.
"""

from infra.doctor.archive import Exists, Summary, write
from infra.doctor.here import of_this_machine
from infra.doctor.nodes import of_nodes
from infra.doctor.pieces import Missing, Piece
from infra.doctor.redact import redact

__all__ = ["Exists", "Missing", "Piece", "Summary", "of_nodes", "of_this_machine", "redact", "write"]
