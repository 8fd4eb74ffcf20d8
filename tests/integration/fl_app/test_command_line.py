"""The command line: an exit code that says what happened, an error that says what to do, and never a traceback."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator

import pytest
from authority import Authority
from fl_processes import PLUGINS, Federation, run_files

from fl_app.__main__ import main

pytestmark = pytest.mark.integration
Make = Callable[..., Federation]


@pytest.fixture(autouse=True)
def _as_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(PLUGINS))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def federation(make_federation: Make, monkeypatch: pytest.MonkeyPatch) -> Federation:
    made = make_federation()
    monkeypatch.setenv("FEDERATE_ADDRESS_MAP", f"10.30.0.10:8890=127.0.0.1:{made.port}")
    return made


def run(
    federation: Federation, node: str, capsys: pytest.CaptureFixture[str], role: str | None = None
) -> tuple[int, str]:
    home = federation.root / node
    arguments = [role or ("server" if node == "aggregator" else "client")]
    for folder in ("config", "data", "state", "output"):
        arguments += [f"--{folder}", str(home / folder)]
    code = main(arguments)
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return code, told


def rewrite(federation: Federation, node: str, **own: object) -> None:
    role = "aggregator" if node == "aggregator" else "client"
    federation.write(node, run_files(node, role=role, roster=federation.sites, **own))


def test_run_files_that_are_missing_or_of_another_role_end_with_2(
    federation: Federation, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = run(federation, "site-a", capsys, role="server")
    assert code == 2
    assert "holds the run files of site-a, a node of role client" in told
    shutil.rmtree(federation.root / "site-a" / "config")
    code, told = run(federation, "site-a", capsys)
    assert code == 2
    assert "fedml_config.yaml does not exist" in told


def test_an_identity_that_is_missing_ends_with_3(federation: Federation, capsys: pytest.CaptureFixture[str]) -> None:
    (federation.root / "site-a" / "state" / "tls" / "key.pem").unlink()
    code, told = run(federation, "site-a", capsys)
    assert code == 3
    assert "tls/key.pem does not exist" in told


def test_an_aggregator_of_another_authority_ends_the_client_with_3(
    federation: Federation, capsys: pytest.CaptureFixture[str]
) -> None:
    federation.start("aggregator")
    federation.wait_for_log("aggregator", "listening on")
    Authority().issue(federation.root / "site-a" / "state" / "tls", "site-a")
    code, told = run(federation, "site-a", capsys)
    assert code == 3
    assert "is not this federation's aggregator aggregator.test.federate" in told


@pytest.mark.parametrize(
    ("key", "name", "told_of"),
    [("dataset", "blob", "Did you mean 'blobs'"), ("model", "mlp", "No model is called 'mlp'")],
)
def test_a_plug_in_that_is_not_installed_ends_with_2(
    federation: Federation, capsys: pytest.CaptureFixture[str], key: str, name: str, told_of: str
) -> None:
    rewrite(federation, "site-a", **{key: {"name": name, "options": {}}})
    code, told = run(federation, "site-a", capsys)
    assert code == 2
    assert told_of in told


def test_a_site_without_training_samples_ends_with_2(
    federation: Federation, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(federation, "site-a", options={"samples": 0})
    code, told = run(federation, "site-a", capsys)
    assert code == 2
    assert "site-a has no training samples" in told


def test_a_port_that_is_taken_ends_the_server_with_2(
    federation: Federation, capsys: pytest.CaptureFixture[str]
) -> None:
    federation.start("aggregator")
    federation.wait_for_log("aggregator", "listening on")
    code, told = run(federation, "aggregator", capsys)
    assert code == 2
    assert f"127.0.0.1:{federation.port} cannot be listened on" in told


def test_a_switch_of_fedml_that_harms_ends_with_2(federation: Federation, capsys: pytest.CaptureFixture[str]) -> None:
    path = federation.root / "site-a" / "config" / "fedml_config.yaml"
    path.write_text(path.read_text() + "\ndp_args: {enable_dp: true}\n")
    code, told = run(federation, "site-a", capsys)
    assert code == 2
    assert "enable_dp is on, and is refused" in told


def test_an_aggregation_that_breaks_its_contract_ends_the_server_with_2(federation: Federation) -> None:
    rewrite(federation, "aggregator", aggregation={"name": "broken", "options": {}})
    federation.start_all()
    assert federation.exit_code("aggregator") == 2
    assert "The aggregation Broken returned what is not the model" in federation.log("aggregator")
    assert "Traceback" not in federation.log("aggregator")


def test_a_model_of_another_size_at_a_site_ends_it_with_2_and_says_which_tensor(federation: Federation) -> None:
    rewrite(federation, "site-b", options={"features": 11})
    federation.start_all()
    assert federation.exit_code("site-b") == 2
    assert "weight is torch.float32 [2, 10]; the model has torch.float32 [2, 11]" in federation.log("site-b")


def test_the_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "python -m fl_app server --config" in capsys.readouterr().out


def test_an_error_that_nobody_foresaw_ends_with_1_and_keeps_its_traceback_in_a_file(
    federation: Federation, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import fl_app.nodes

    def fail(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(fl_app.nodes, "load_credentials", fail)
    monkeypatch.setattr(fl_app.nodes, "read_config", fail)
    code, told = run(federation, "site-a", capsys)
    assert code == 1
    assert "unexpected ZeroDivisionError: oh" in told
    assert "ZeroDivisionError" in (federation.root / "site-a" / "output" / "error.log").read_text()


def test_threads_share_what_they_free_before_the_node_begins(
    federation: Federation, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("fl_app.__main__.share_freed_memory", lambda: said.append("shared"))
    monkeypatch.setattr("fl_app.nodes.run_client", lambda *_: said.append("begins"))
    assert run(federation, "site-a", capsys) == (0, "")
    assert said == ["shared", "begins"]
