"""What a test needs of the machine: where it is not there the test is not run, and in CI that is a failure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

CDK = Path(__file__).parents[2] / ".venv/cdk/node_modules/.bin/cdk"


def cannot_run(reason: str) -> NoReturn:
    """Skip the test; in CI, where nothing may be skipped, fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def needs_cdk(cdk: Path = CDK) -> None:
    """Go on only where there is the pinned CDK command."""
    if not cdk.exists():
        cannot_run(f"needs the pinned CDK command; there is none at {cdk}: make setup")
