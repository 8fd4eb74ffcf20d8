"""Ctrl-C is said as such, with what is where, also where an account does not tell."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import EndpointConnectionError
from fake_cloud import FakeCdk, FakeCloud, federation, small_plan

from infra.deployment import place
from infra.deployment.condition import Stacks
from infra.deployment.deploy import Deployment
from stacks.plan import StackPlan


@pytest.fixture
def at(cloud: FakeCloud, cdk: FakeCdk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> place.Place:
    """A federation whose deployment is stopped as soon as it begins."""

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(place.Place, "prepare", lambda _: SimpleNamespace(plan=small_plan(), folder=tmp_path))
    monkeypatch.setattr(place.Place, "_cdk", lambda *_: cdk)
    monkeypatch.setattr(place.Place, "_forget_what_nodes_before_said", lambda *_: None)
    monkeypatch.setattr(place, "orphans", lambda *_: ())
    monkeypatch.setattr(Deployment, "run", stopped)
    return place.Place(tmp_path / "federation.yaml", federation(), tmp_path, cloud)


def lines(at: place.Place) -> list[str]:
    with pytest.raises(place.Interrupted) as caught:
        at.deploy()
    assert caught.value.exit_code == 130
    head, *rows = caught.value.args[0].splitlines()
    assert head == "Stopped. The stacks are now:"
    return [str(row) for row in rows]


def test_every_stack_is_told(at: place.Place) -> None:
    assert lines(at) == [f"  {stack.name}: not there" for stack in small_plan().stacks]


def test_a_stack_whose_account_does_not_answer_hides_neither_the_others_nor_the_end(
    at: place.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent, *others = small_plan().stacks
    ask = Stacks.status

    def status(self: Stacks, stack: StackPlan) -> str | None:
        if stack == silent:
            raise EndpointConnectionError(endpoint_url="https://cloudformation.test")
        return ask(self, stack)

    monkeypatch.setattr(Stacks, "status", status)
    first, *rest = lines(at)
    assert first.startswith(f"  {silent.name}: not known, its account does not answer: Could not connect")
    assert rest == [f"  {stack.name}: not there" for stack in others]
