"""From ``federation.yaml`` to a checked federation, or every problem of the file at once."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from infra.errors import InvalidFederation, Problem
from infra.federation import source
from infra.federation.model import Federation


def load_federation(path: Path) -> Federation:
    """Read and check a federation.

    Raises:
        InvalidFederation: with every problem of the file.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise InvalidFederation([Problem(str(path), "there is no such file.")]) from None
    document = source.read(text)
    if document.faults:
        raise InvalidFederation([Problem(f"{path.name}:{f.line}", f.found, f.allowed) for f in document.faults])
    try:
        return Federation.model_validate(document.data)
    except ValidationError as error:
        raise InvalidFederation(
            [
                Problem(f"{path.name}:{document.line(e['loc'])}  {'.'.join(map(str, e['loc']))}", e["msg"])
                for e in error.errors()
            ]
        ) from None
