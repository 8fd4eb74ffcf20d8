"""The checks as a table: what is asked of whom, and which permissions that takes. ``docs/preflight.md`` has it."""

from __future__ import annotations

from typing import Any

from infra.preflight import here
from infra.preflight.identity import CREDENTIALS
from infra.preflight.run import CHECKS


def as_rows() -> list[dict[str, Any]]:
    """Return one row per check."""
    local = [{"check": check.id, "of": "this machine", "asks": check.asks, "permissions": []} for check in here.CHECKS]
    return [
        *local,
        *(
            {"check": check.id, "of": "account", "asks": check.asks, "permissions": list(check.permissions)}
            for check in (CREDENTIALS, *CHECKS)
        ),
    ]


def as_table() -> str:
    """Return the rows as a Markdown table."""
    lines = ["| check | asks | permissions |", "|---|---|---|"]
    for row in as_rows():
        permissions = ", ".join(f"`{name}`" for name in row["permissions"]) or row["of"]
        lines.append(f"| `{row['check']}` | {row['asks']} | {permissions} |")
    return "\n".join(lines)
