"""FedML's own code reads the files that are written for it, and finds in them what was meant."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from infra.federation.derive import nodes
from infra.federation.model import Federation
from infra.federation.run_config import run_files

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).parents[3]

#: Reads the files of the current folder with FedML's loader and its GPU mapping; CUDA is taken to be there.
READER = """
import json, sys
from types import SimpleNamespace
from unittest import mock
from fl_app import engine
engine.install()
from fedml.arguments import Arguments
from fedml.device import device

command_line = SimpleNamespace(yaml_config_file="fedml_config.yaml", rank="7", role="nobody", run_id="0")
args = Arguments(command_line, "cross_silo", "GRPC")
args.process_id, args.enable_cuda_rpc = args.rank, False  # as fedml.init does
chosen = []
with mock.patch.object(device.ml_engine_adapter, "is_device_available", return_value=True), mock.patch(
    "fedml.device.gpu_mapping_cross_silo.ml_engine_adapter.get_device",
    side_effect=lambda args, device_id, device_type: chosen.append([device_type, device_id]),
):
    device.get_device(args)
known = ("rank", "role", "run_id", "worker_num", "comm_round", "dataset", "client_id_list", "backend", "learning_rate")
print(json.dumps({"args": {key: getattr(args, key) for key in known}, "device": chosen[0]}))
"""


@pytest.fixture
def federation() -> Federation:
    data = yaml.safe_load((CHECKOUT / "federation.yaml").read_text("utf-8"))
    data["aggregator"] |= {"instance_type": "m6i.large"}
    data["participants"][0] |= {"instance_type": "g5.12xlarge", "gpu_mapping": [0, 0, 1]}
    data["training"] |= {"learning_rate": 1e-05, "rounds": 7}
    return Federation.model_validate(data)


@pytest.mark.parametrize(
    ("node_id", "expected", "device"),
    [
        ("aggregator", {"rank": 0, "role": "server", "worker_num": 2, "client_id_list": "[1, 2]"}, ["cpu", None]),
        ("hospital-a", {"rank": 1, "role": "client", "worker_num": 1, "client_id_list": "[1]"}, ["gpu", "2"]),
        ("hospital-b", {"rank": 1, "role": "client", "worker_num": 1, "client_id_list": "[1]"}, ["gpu", "0"]),
    ],
)
def test_fedml_finds_rank_role_and_gpu_of_each_node(tmp_path, federation, node_id, expected, device):
    node = next(node for node in nodes(federation) if node.id == node_id)
    for name, text in run_files(federation, node).items():
        (tmp_path / name).write_text(text, "utf-8")

    read = subprocess.run(
        [sys.executable, "-c", READER],
        cwd=tmp_path,
        env={"PYTHONPATH": str(CHECKOUT), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert read.returncode == 0, read.stderr
    found = json.loads(read.stdout.splitlines()[-1])
    common = {"run_id": "eicu", "comm_round": 7, "dataset": "eicu", "backend": "GRPC", "learning_rate": 1e-05}
    assert found == {"args": expected | common, "device": device}
