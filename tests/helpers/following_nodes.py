"""Nodes whose real agents look each time that somebody looks at their account, which is in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fake_node import FakeAccount, facts

from infra.federation.derive import Node
from node_bootstrap.agent.loop import Loop


@dataclass
class FollowingNode:
    """In place of :class:`infra.nodes.remote.Remote`. ``is_up`` is whether its agent runs."""

    node: Node
    folder: Path
    account: FakeAccount = field(default_factory=FakeAccount)
    is_up: bool = True

    def __post_init__(self) -> None:
        (self.folder / "state").mkdir(parents=True)
        self.agent = Loop(
            facts(federation=self.node.federation, node=self.node.id, role=self.node.role),
            self.account,
            self.folder / "root",
            self.folder / "state",
        )

    @property
    def where(self) -> str:
        return f"{self.node.id}, account {self.node.account}, profile {self.node.profile}"

    @property
    def tls(self) -> Path:
        return self.folder / "state" / "tls"

    def parameters(self) -> dict[str, str]:
        if self.is_up:
            self.agent.step()
        return dict(self.account.told)

    def put(self, name: str, value: str) -> None:
        assert len(value.encode()) <= 4096, "AWS refuses a parameter of more than 4 KB"
        self.account.told[name] = value

    def client(self, _: str) -> Any:
        def delete(*, Names: list[str]) -> None:  # noqa: N803
            for name in Names:
                self.account.told.pop(name.removeprefix(f"{self.node.parameter_prefix}/"), None)

        return SimpleNamespace(delete_parameters=delete)
