"""A man in the middle of a real federation's streams: nobody notices, and every byte is read."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from authority import Authority
from fl_processes import Federation, free_port, wait_until
from safetensors.torch import load_file

from infra.local.twin.capture.middle import Direction, ManInTheMiddle
from infra.local.twin.capture.unframe import Messages

pytestmark = pytest.mark.integration
SITES = ("site-a", "site-b")


class Tapped(Federation):
    """A federation in which each site reaches the aggregator by a man in the middle of its own."""

    def __init__(self, root: Path, *, test_authority: Authority | None = None, **settings: Any) -> None:
        super().__init__(root, SITES, **settings)
        self.ports = {site: free_port() for site in SITES}
        self.seen: dict[str, dict[tuple[Direction, int], bytearray]] = {site: {} for site in SITES}
        issuer = test_authority or self.authority
        self.men = {site: self._man(site, issuer) for site in SITES}

    def _man(self, site: str, issuer: Authority) -> ManInTheMiddle:
        seen = self.seen[site]
        man = ManInTheMiddle(
            as_aggregator=issuer.issue(self.root / "middle" / site / "aggregator", "aggregator", role="aggregator"),
            as_site=issuer.issue(self.root / "middle" / site / "site", site),
            tls_name="aggregator.test.federate",
            dial=lambda: socket.create_connection(("127.0.0.1", self.port), timeout=5),
            watch=lambda way, number, data: seen.setdefault((way, number), bytearray()).extend(data),
        )
        man.start(socket.create_server(("127.0.0.1", self.ports[site])))
        return man

    def environment(self, node: str) -> dict[str, str]:
        port = self.ports.get(node, self.port)
        return {**super().environment(node), "FEDERATE_ADDRESS_MAP": f"10.30.0.10:8890=127.0.0.1:{port}"}

    def end(self) -> None:
        super().end()
        for man in self.men.values():
            man.close()

    def messages(self, site: str, way: Direction) -> bytes:
        """Return what a site's messages hold, of all its connections."""
        found = bytearray()
        for (direction, _), data in self.seen[site].items():
            if direction == way:
                found += b"".join(part for name, part in Messages().feed(bytes(data)) if name != "headers")
        return bytes(found)


@pytest.fixture
def tapped(tmp_path: Path) -> Iterator[Callable[..., Tapped]]:
    made: list[Tapped] = []

    def make(**settings: Any) -> Tapped:
        made.append(Tapped(tmp_path / "federation", **settings))
        return made[-1]

    yield make
    for federation in made:
        federation.end()


def test_a_federation_trains_through_men_in_the_middle_to_the_same_model(
    tapped: Callable[..., Tapped], tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"rounds": 3, "options": {"features": 2000}}
    run = tapped(**settings)
    with closing_federation(Federation(tmp_path / "plain", SITES, **settings)) as plain:
        for federation in (run, plain):
            federation.start_all()
            for node in (*SITES, "aggregator"):
                assert federation.exit_code(node) == 0, federation.log(node)
        model = run.output("aggregator", "model.safetensors")
        assert model.read_bytes() == plain.output("aggregator", "model.safetensors").read_bytes()
    size = sum(tensor.numel() * tensor.element_size() for tensor in load_file(model).values())
    assert size > 16_000
    weights = load_file(model)["weight"].numpy().tobytes()
    for site in SITES:
        assert run.men[site].connections >= 1
        assert run.men[site].passed[Direction.LEAVES] >= size * 3
        assert run.men[site].passed[Direction.ENTERS] >= size * 3
        said, heard = run.messages(site, Direction.LEAVES), run.messages(site, Direction.ENTERS)
        assert b'"kind":"update"' in said
        assert site.encode() in said
        assert weights in heard  # across HTTP/2's frames, in one piece


def closing_federation(federation: Federation) -> Any:
    federation.close = federation.end  # type: ignore[attr-defined]
    return closing(federation)


def test_while_the_aggregator_is_not_there_a_site_waits_as_without_him(tapped: Callable[..., Tapped]) -> None:
    run = tapped(rounds=2)
    run.start("site-a")
    run.wait_for_log("site-a", "waiting for the aggregator")
    assert run.men["site-a"].connections == 0
    run.start("site-b", "aggregator")
    for node in (*SITES, "aggregator"):
        assert run.exit_code(node) == 0, run.log(node)


def test_when_the_aggregator_comes_back_sites_find_it_through_him_and_go_on(tapped: Callable[..., Tapped]) -> None:
    run = tapped(rounds=20, options={"pause": 0.03})
    run.start_all()
    wait_until(lambda: run.progress().get("round", 0) >= 3, what="round 3")
    run.kill("aggregator")
    run.start("aggregator")
    for node in (*SITES, "aggregator"):
        assert run.exit_code(node) == 0, run.log(node)
    assert all(man.connections >= 2 for man in run.men.values())
    assert run.rounds()[-1]["answered"] == list(SITES)


def test_negative_control_with_another_authority_s_certificates_he_is_refused(tapped: Callable[..., Tapped]) -> None:
    run = tapped(rounds=2, test_authority=Authority("test"))
    run.start_all()
    wait_until(lambda: run.men["site-a"].failures, what="a handshake that fails")
    assert all(man.connections == 0 for man in run.men.values())
    assert run.progress().get("round", 0) == 0
