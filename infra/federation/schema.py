"""JSON Schema of ``federation.yaml``, for completion in editors, and the reference page that is made from it.

``python -m infra.federation.schema`` writes both anew; a test holds them current.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from infra.federation.model import Federation
from infra.federation.reference import reference

SCHEMA_FILE = Path(__file__).with_name("federation.schema.json")
REFERENCE_FILE = Path(__file__).parents[2] / "docs" / "federation-yaml.md"


def schema() -> dict[str, Any]:
    """Return the JSON Schema of ``federation.yaml``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Federation.model_json_schema(),
        "title": "federation.yaml",
    }


def schema_text() -> str:
    """Return the schema as it is kept in ``federation.schema.json``."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def write() -> tuple[Path, Path]:
    """Write the schema and the reference page; return where they are."""
    SCHEMA_FILE.write_text(schema_text(), "utf-8")
    REFERENCE_FILE.write_text(reference(schema()), "utf-8")
    return SCHEMA_FILE, REFERENCE_FILE


if __name__ == "__main__":
    for written in write():
        print(written)
