"""The component documents of EC2 Image Builder, as they stand beside this module."""

from __future__ import annotations

from importlib.resources import files

#: In the order in which an image goes through them.
NAMES = ("build", "validate", "test")


def document(name: str) -> str:
    """Return a component's document, YAML."""
    return files(__package__).joinpath("components", f"{name}.yaml").read_text("utf-8")
