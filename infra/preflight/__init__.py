"""Checks against the live accounts, before anything is made: each names what it found and what to do about it.

A check that may not ask, or gets no answer, is a warning that says so.
"""

from infra.preflight.here import Desk
from infra.preflight.run import CHECKS, Answer, NotCleared, exit_code, run, visits

__all__ = ["CHECKS", "Answer", "Desk", "NotCleared", "exit_code", "run", "visits"]
