"""Who a node is: the facts of its user data, read once at the door."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

_OPTIONAL = "bucket_prefix"


class FactsError(Exception):
    """The file with the facts is missing or not what user data writes."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a node knows of itself for life.

    Args:
        federation: the federation's name.
        node: the node's id: ``aggregator``, or a site's.
        role: ``aggregator`` or ``client``.
        region: of the node and its account's services.
        bucket: the node's own.
        parameter_prefix: of its parameters.
        secret_prefix: of its secrets.
        log_group: where its log goes.
        bucket_prefix: what every key of the node's begins with in the bucket; user data names it only if there is one.
    """

    federation: str
    node: str
    role: str
    region: str
    bucket: str
    parameter_prefix: str
    secret_prefix: str
    log_group: str
    bucket_prefix: str = ""

    @property
    def uri(self) -> str:
        """The node's name as it stands in its certificate."""
        return f"federate://{self.federation}/{self.role}/{self.node}"

    @classmethod
    def read(cls, path: Path) -> Facts:
        """Read the file that user data writes.

        Raises:
            FactsError: it is missing, or a fact is.
        """
        names = [field.name for field in fields(cls)]
        try:
            found = json.loads(path.read_text("utf-8"))
            given = {name: found[name] for name in names if name != _OPTIONAL or name in found}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FactsError(f"{path} does not hold a node's facts ({', '.join(names)}): {error}") from None
        wrong = [name for name, value in given.items() if not isinstance(value, str) or not value]
        if wrong or given["role"] not in ("aggregator", "client"):
            raise FactsError(f"{path}: {', '.join(wrong) or 'role'} is not what it should be")
        return cls(**given)
