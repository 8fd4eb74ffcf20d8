"""One short text that tells two federations apart."""

from __future__ import annotations

import hashlib
import json

from infra.federation.model import Federation


def digest(federation: Federation) -> str:
    """Return the SHA-256 (hexadecimal) of what the federation says, whatever its file's layout, order or comments."""
    canonical = json.dumps(federation.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
