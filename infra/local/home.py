"""Where the toolkit keeps its local state: ``.federate`` in the working folder, or ``FEDERATE_HOME``."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """Return the folder of all local state."""
    return Path(os.environ.get("FEDERATE_HOME", ".federate")).absolute()


def local() -> Path:
    """Return the folder of loopback AWS and the twin, made if need be; readable by the user alone."""
    folder = home() / "local"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
