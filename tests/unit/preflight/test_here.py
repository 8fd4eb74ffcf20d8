"""This machine, and the page that lists the checks."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from small_visit import federation

from infra.errors import Severity
from infra.preflight.here import Desk, cdk, node_js, release, space
from infra.preflight.run import CHECKS
from infra.preflight.table import as_table

PAGE = Path(__file__).parents[3] / "docs" / "preflight.md"
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(federation(), tmp_path)


def test_a_cdk_command_that_is_not_there_is_an_error(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDERATE_CDK", str(desk.home / "cdk"))
    (problem,) = cdk(desk)
    assert "does not exist" in problem.found
    assert "make setup" in problem.remedy
    (desk.home / "cdk").write_text("")
    (desk.home / "cdk").chmod(0o700)
    assert list(cdk(desk)) == []


def test_a_node_js_that_is_not_there_is_an_error(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(node_js(desk)) == []  # from its package
    monkeypatch.setattr("infra.deployment.tools.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(desk.home))
    (problem,) = node_js(desk)
    assert "Node.js is not installed" in problem.found


@pytest.mark.parametrize(("mebibytes", "severity"), [(2048, None), (1000, Severity.WARNING), (100, Severity.ERROR)])
def test_a_disk_that_is_nearly_full_is_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, mebibytes: int, severity: Severity | None
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, mebibytes * 2**20))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(desk.home))
    assert [problem.severity for problem in space(desk)] == ([severity] if severity else [])


def test_a_plug_in_that_is_not_installed_makes_no_release(desk: Desk) -> None:
    unknown = desk.federation.training.model_copy(
        update={"model": desk.federation.training.model.model_copy(update={"name": "no-such-model"})}
    )
    other = Desk(desk.federation.model_copy(update={"training": unknown}), desk.home)
    (problem,) = release(other)
    assert "no-such-model" in problem.found


def test_the_page_lists_every_check_as_it_is() -> None:
    assert as_table() in PAGE.read_text("utf-8")


def test_no_two_checks_share_an_id() -> None:
    ids = [check.id for check in CHECKS]
    assert len(set(ids)) == len(ids)
