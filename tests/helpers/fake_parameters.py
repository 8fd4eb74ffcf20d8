"""The accounts' parameter stores in memory: what operators and nodes tell each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from node_bootstrap import contract


@dataclass
class FakeParameters:
    """Parameters by profile and full name. ``puts`` tells what was set; ``before_look`` is called at each look."""

    stores: dict[str, dict[str, str]] = field(default_factory=dict)
    puts: list[tuple[str, str]] = field(default_factory=list)
    before_look: Callable[[], object] = lambda: None
    refused: set[str] = field(default_factory=set)
    others: dict[tuple[str, str], Any] = field(default_factory=dict)

    def client(self, service: str, *, profile: str, region: str) -> Any:
        """Return a client; of the other services only those that a test has put there, by profile, answer."""
        if service == "ssm":
            return _Ssm(self, profile)
        return self.others.get((service, profile), _Refuses(service))

    def of(self, node: str) -> dict[str, str]:
        """Return the store of a node of the federation ``fed``, whose profile bears its name."""
        return self.stores.setdefault(node, {})

    def says(self, node: str, state: str, run: str = "", reason: str = "", **progress: Any) -> None:
        """Let a node publish its state."""
        told = {"state": state, "reason": reason, "run": run, "progress": progress}
        self.of(node)[f"/federate/fed/{node}/{contract.STATE}"] = json.dumps(told)

    def told(self, node: str, name: str) -> str | None:
        """Return a parameter of a node's."""
        return self.of(node).get(f"/federate/fed/{node}/{name}")

    def tell(self, node: str, name: str, value: str) -> None:
        self.of(node)[f"/federate/fed/{node}/{name}"] = value


@dataclass(frozen=True)
class _Ssm:
    accounts: FakeParameters
    profile: str

    def get_paginator(self, name: str) -> Any:
        assert name == "get_parameters_by_path"
        return self

    def paginate(self, *, Path: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        if self.profile in self.accounts.refused:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetParametersByPath")
        self.accounts.before_look()
        for name, value in dict(self.accounts.of(self.profile)).items():
            if name.startswith(Path):
                yield {"Parameters": [{"Name": name, "Value": value}]}

    def put_parameter(self, *, Name: str, Value: str, Type: str, Overwrite: bool) -> None:  # noqa: N803
        assert (Type, Overwrite) == ("String", True)
        self.accounts.puts.append((self.profile, Name.rpartition("/")[2]))
        self.accounts.of(self.profile)[Name] = Value

    def delete_parameters(self, *, Names: list[str]) -> None:  # noqa: N803
        assert len(Names) <= 10, "AWS takes ten at once"
        for name in Names:
            del self.accounts.of(self.profile)[name]


@dataclass(frozen=True)
class _Refuses:
    """A service of which the operator may ask nothing."""

    service: str

    def __getattr__(self, operation: str) -> Any:
        def refuse(*_: Any, **__: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": f"no {self.service}"}}, operation)

        return refuse
