"""The wire under real nodes: the record of what left and came, certificates that change and are revoked in mid-run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from fl_processes import Federation, wait_until

from infra.cli.audit import verdict

pytestmark = pytest.mark.integration
Make = Callable[..., Federation]


def entries(run: Federation, node: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.state(node) / "audit.jsonl").read_bytes().splitlines()]


def finish(run: Federation) -> None:
    for node in (*run.sites, "aggregator"):
        assert run.exit_code(node) == 0, run.log(node)


def swap(run: Federation, node: str, *, revoked: list[str] | None = None, new: bool = True) -> None:
    """Give a node another folder in one step, as its agent does: a symbolic link is replaced."""
    link = run.state(node) / "tls"
    number = len(list(run.state(node).iterdir()))
    folder = run.state(node) / f"tls-{number}"
    if new:
        run.authority.issue(folder, node, role="aggregator" if node == "aggregator" else "client")
    else:
        shutil.copytree(link.resolve(), folder)
    if revoked is not None:
        (folder / "revoked.json").write_text(json.dumps(revoked))
    if not link.is_symlink():
        link.rename(run.state(node) / "tls-0")
        link.symlink_to(run.state(node) / "tls-0")
    beside = run.state(node) / ".tls"
    beside.symlink_to(folder)
    beside.replace(link)


def serial(folder: Path) -> str:
    return f"{x509.load_pem_x509_certificate((folder / 'certificate.pem').read_bytes()).serial_number:x}"


def test_every_message_of_a_run_is_recorded_on_both_sides_with_the_same_digest(
    make_federation: Make, tmp_path: Path
) -> None:
    run = make_federation(rounds=3)
    run.start_all()
    finish(run)
    (tmp_path / "authority.pem").write_bytes(run.authority.pem)
    for node in ("aggregator", *run.sites):
        found = verdict(run.state(node) / "audit.jsonl", tmp_path / "authority.pem")
        assert (found.faults, found.notices) == ([], [])
        assert found.anchored == found.lines
    hub = entries(run, "aggregator")
    for site in run.sites:
        own = entries(run, site)
        sent = [(e["kind"], e.get("round"), e["bytes"], e["sha256"]) for e in own if e["direction"] == "sent"]
        assert sent == [
            (e["kind"], e.get("round"), e["bytes"], e["sha256"])
            for e in hub
            if e["direction"] == "received" and e["peer"] == site
        ]
        assert [kind for kind, *_ in sent] == ["status", "update", "update", "update", "evaluation", "status"]
        got = [e["sha256"] for e in own if e["direction"] == "received"]
        assert got == [e["sha256"] for e in hub if e["direction"] == "sent" and e["peer"] == site]
        assert len(got) == 5


def test_certificates_change_while_rounds_go_on_and_a_revoked_site_is_put_out(make_federation: Make) -> None:
    run = make_federation(
        ("site-a", "site-b", "site-c"), rounds=300, options={"pause": 0.03}, quorum=2, round_deadline_seconds=1.0
    )
    run.start_all()
    wait_until(lambda: run.progress().get("round", 0) >= 2, what="round 2")
    for node in ("site-a", "aggregator", "site-b"):
        swap(run, node)
        run.wait_for_log(node, "the identity in")
    began = run.progress()["round"]
    wait_until(lambda: run.progress()["round"] >= began + 3, what="three rounds more")
    assert run.rounds()[-1]["answered"] == ["site-a", "site-b", "site-c"]

    swap(run, "aggregator", revoked=[serial(run.state("site-c") / "tls")], new=False)
    run.wait_for_log("site-c", "is revoked", seconds=10)
    assert run.exit_code("site-c", 60) == 3
    began = run.progress()["round"]
    wait_until(lambda: run.progress()["round"] >= began + 2, what="two rounds more")
    assert run.rounds()[-1]["answered"] == ["site-a", "site-b"]
    for node in ("aggregator", "site-a", "site-b"):
        run.terminate(node)
        assert run.exit_code(node, 15) == 130
    refused = [e for e in entries(run, "aggregator") if e["direction"] == "refused"]
    assert {e["peer"] for e in refused} == {"site-c"}
    assert verdict(run.state("aggregator") / "audit.jsonl").faults == []
