"""Run files: read into one typed value, and every fault of a file is named at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fl_processes import run_files

from fl_app.config import Address, Plugin, read_config
from fl_app.errors import ConfigError
from infra.federation.derive import nodes
from infra.federation.load import load_federation
from infra.federation.run_config import run_files as written_by_the_operator

EXAMPLE = Path(__file__).parents[3] / "federation.yaml"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def server_files(**own: Any) -> dict[str, str]:
    roster = own.pop("roster", ("site-a", "site-b"))
    return run_files("aggregator", role="aggregator", roster=roster, **own)


def test_the_files_that_the_operator_s_side_writes_are_read(tmp_path: Path) -> None:
    federation = load_federation(EXAMPLE)
    hub, site, _ = nodes(federation)
    (tmp_path / "hub").mkdir()
    (tmp_path / "site").mkdir()
    server = read_config(write(tmp_path / "hub", written_by_the_operator(federation, hub)))
    client = read_config(write(tmp_path / "site", written_by_the_operator(federation, site)))

    assert (server.node, server.role, server.roster) == ("aggregator", "aggregator", ("hospital-a", "hospital-b"))
    assert (client.node, client.role, client.roster) == ("hospital-a", "client", ())
    assert server.aggregator == client.aggregator == Address(str(hub.address), 8890)
    assert client.tls_name_of_aggregator == hub.tls_name
    assert client.model == Plugin("logistic_regression")
    for key in (
        "rounds",
        "epochs",
        "batch_size",
        "learning_rate",
        "optimizer",
        "weight_decay",
        "class_weights",
        "seed",
    ):
        assert getattr(client.training, key) == getattr(federation.training, key), key
    assert client.gpu_processes == (1,)
    assert server.policy.deadline_seconds == "adaptive"
    assert client.fedml["client_num_in_total"] == 1


def test_all_faults_of_a_file_come_at_once_with_what_is_expected(tmp_path: Path) -> None:
    files = server_files(optimizer="rmsprop", seed="0", message_limit_mib=0, roster=("a", "a"))
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, files))
    told = str(caught.value)
    assert "optimizer is 'rmsprop'; expected: one of sgd, adam, adamw" in told
    assert "seed is '0'; expected: a whole number" in told
    assert "message_limit_mib is 0" in told
    assert "roster is ['a', 'a']; expected: a list of the sites' names, each once" in told


def test_a_quorum_above_the_roster_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"quorum is 3; expected: at most the roster's 2"):
        read_config(write(tmp_path, server_files(quorum=3)))


@pytest.mark.parametrize("name", ["fedml_config.yaml", "grpc_ipconfig.csv", "gpu_mapping.yaml"])
def test_a_file_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path, server_files())
    (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match=f"{name} does not exist"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("fedml_config.yaml", "a: [1,\nb: 2", r"fedml_config.yaml:2 is not YAML"),
        ("fedml_config.yaml", "just text", "holds str"),
        ("fedml_config.yaml", "common_args: 3\n", "federate_args is None"),
        ("grpc_ipconfig.csv", "eid,rank,grpc_server_ip,grpc_server_port\n1,1,10.0.0.1,0\n", "no row with eid 0"),
        ("grpc_ipconfig.csv", "eid,rank,grpc_server_ip,grpc_server_port\n0,0,10.0.0.1,x\n", "10.0.0.1:x"),
        ("gpu_mapping.yaml", "other: {}\n", "mapping_default"),
        ("gpu_mapping.yaml", "mapping_default: {aggregator: many}\n", "'many'"),
    ],
)
def test_a_file_that_is_broken_is_an_error_with_the_place(tmp_path: Path, name: str, text: str, reason: str) -> None:
    write(tmp_path, {**server_files(), name: text})
    with pytest.raises(ConfigError, match=reason):
        read_config(tmp_path)
