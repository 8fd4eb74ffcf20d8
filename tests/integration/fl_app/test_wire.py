"""The wire under real nodes: the record of what left and came, certificates that change and are revoked in mid-run."""

from __future__ import annotations

import json
import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch
from cryptography import x509
from fl_processes import Federation, wait_until

from fl_app.transport.frames import Assembler, Hello, Letter, hello_frame, letter_frames
from fl_app.transport.options import PATH, channel_options
from fl_app.transport.wire import Envelope, decode, encode_header, encode_tensors
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
    run = make_federation(("site-a", "site-b", "site-c"), rounds=300, options={"pause": 0.03})
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
        assert run.exit_code(node, 60) == 130
    refused = [e for e in entries(run, "aggregator") if e["direction"] == "refused"]
    assert {e["peer"] for e in refused} == {"site-c"}
    assert verdict(run.state("aggregator") / "audit.jsonl").faults == []


def channel_of(run: Federation, node: str) -> grpc.Channel:
    tls = run.state(node) / "tls"
    files = ((tls / f"{name}.pem").read_bytes() for name in ("authority", "key", "certificate"))
    options = channel_options("aggregator.test.federate")
    return grpc.secure_channel(f"127.0.0.1:{run.port}", grpc.ssl_channel_credentials(*files), options=options)


def frames_of(envelopes: list[Envelope]) -> list[bytes]:
    frames = [hello_frame(Hello(secrets.token_hex(16), "", 0))]
    for number, envelope in enumerate(envelopes, start=1):
        frames += letter_frames(Letter(number, encode_header(envelope), encode_tensors(envelope.tensors)))
    return frames


def first_task(run: Federation, node: str) -> Envelope:
    """Report as a site does, and return the task that the aggregator gives it."""
    status = Envelope("status", node, "aggregator", {"client_status": "ONLINE", "data_sha256": ""})
    frames, done = frames_of([status]), threading.Event()

    def opened() -> Iterator[bytes]:
        yield from frames
        done.wait(20)

    assembler = Assembler(1 << 20, hashes=False)
    with channel_of(run, node) as channel:
        for frame in channel.stream_stream(PATH)(opened(), timeout=20):
            found = assembler.feed(frame)
            if isinstance(found, Letter):
                done.set()
                return decode(found.header, found.body)
    raise AssertionError("no task")


def hostile_stream(run: Federation, node: str, envelopes: list[Envelope]) -> tuple[str, str]:
    """Be a valid site that sends what it likes; return how the aggregator ends that."""
    frames = frames_of(envelopes)
    with channel_of(run, node) as channel:
        try:
            list(channel.stream_stream(PATH)(iter(frames), timeout=10))
        except grpc.RpcError as error:
            return error.code().name, error.details() or ""
    return "OK", ""


def test_what_a_hostile_site_says_to_the_rounds_is_refused_and_the_others_go_on(make_federation: Make) -> None:
    run = make_federation(
        ("site-a", "site-b", "site-c"), rounds=400, options={"pause": 0.02}, quorum=2, round_deadline_seconds=0.5
    )
    run.start("aggregator", "site-a", "site-b")
    wait_until(lambda: run.progress().get("round", 0) >= 2, what="round 2")
    task = first_task(run, "site-c").fields

    def update(round_: int, *, sender: str = "site-c", samples: int = 5, **state: torch.Tensor) -> Envelope:
        model = OrderedDict({"weight": torch.zeros(2, 10), "bias": torch.zeros(2), **state})
        fields = {"run": task["run"], "round": round_, "edition": task["edition"], "num_samples": samples}
        return Envelope("update", sender, "aggregator", {**fields, "metrics": {}}, model)

    def now(make: Callable[[int], Envelope]) -> tuple[str, str]:
        """Try until the round did not change between."""
        for _ in range(20):
            told = hostile_stream(run, "site-c", [make(run.progress()["round"])])
            if told != ("OK", ""):
                return told
        raise AssertionError("never refused")

    nan, inf = torch.full((2,), torch.nan), torch.full((2,), -torch.inf)
    assert "bias holds NaN or infinity" in now(lambda r: update(r, bias=nan))[1]
    assert "bias holds NaN or infinity" in now(lambda r: update(r, bias=inf))[1]
    assert "weight is torch.float32 [10, 2]" in now(lambda r: update(r, weight=torch.zeros(10, 2)))[1]
    assert "a message of" in now(lambda r: update(r, weight=torch.zeros(2, 1000)))[1]
    assert "num_samples is -5" in now(lambda r: update(r, samples=-5))[1]
    assert "num_samples is 1000000000000" in now(lambda r: update(r, samples=10**12))[1]
    assert "claims to be from 'site-a'" in now(lambda r: update(r, sender="site-a"))[1]
    hostile_stream(run, "site-c", [update(0)])
    run.wait_for_log("aggregator", "refused site-c: an answer that is stale, to round 0: dropped")
    began = run.progress()["round"]
    wait_until(lambda: run.progress()["round"] >= began + 2, what="two rounds more")
    assert {tuple(record["answered"]) for record in run.rounds()} == {("site-a", "site-b")}
    for node in ("aggregator", "site-a", "site-b"):
        run.terminate(node)
        assert run.exit_code(node, 60) == 130, run.log(node)
    refused = [e["reason"] for e in entries(run, "aggregator") if e["direction"] == "refused"]
    assert len(refused) >= 8
    assert "refused 1 times: " in run.log("aggregator")


@pytest.mark.parametrize("compression", ["bfloat16", "zstd"])
def test_a_compressed_run_is_the_same_after_a_kill_and_close_to_one_that_is_not(
    make_federation: Make, compression: str
) -> None:
    plain, whole = make_federation(rounds=6), make_federation(rounds=6, compression=compression)
    for run in (plain, whole):
        run.start_all()
        finish(run)
    killed = make_federation(rounds=6, compression=compression, options={"pause": 0.03})
    killed.start_all()
    wait_until(lambda: killed.progress().get("round", 0) >= 3, what="round 3")
    killed.kill("site-b")
    killed.start("site-b")
    finish(killed)

    models = [run.output("aggregator", "model.safetensors").read_bytes() for run in (plain, whole, killed)]
    assert models[1] == models[2]
    loss = [run.rounds()[-1]["federated"]["test_loss"] for run in (plain, whole)]
    assert loss[0] == pytest.approx(loss[1], rel=1e-3)
    assert (models[0] == models[1]) == (compression == "zstd")


def test_a_site_without_the_federation_s_compression_is_told(make_federation: Make) -> None:
    run = make_federation(("site-a",), compression="zstd")
    path = run.root / "site-a" / "config" / "fedml_config.yaml"
    path.write_text(path.read_text().replace("compression: zstd", "compression: none"))
    run.start_all()
    assert run.exit_code("site-a") == 2
    assert "both sides' run files must have the same policy.compression" in run.log("site-a")
