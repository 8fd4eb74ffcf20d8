"""The digest of a federation, and the names of installed plug-ins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from infra.federation import registry
from infra.federation.digest import digest
from infra.federation.load import load_federation
from infra.federation.model import Federation

CHECKOUT = Path(__file__).parents[3]


def test_layout_order_and_comments_change_no_digest(data, tmp_path):
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(dict(reversed(data.items()))))
    assert digest(load_federation(again)) == digest(load_federation(CHECKOUT / "federation.yaml"))


def test_a_value_that_is_written_out_as_its_default_changes_no_digest(data):
    before = digest(Federation.model_validate(data))
    data["policy"] = {"message_limit_mib": 1024}
    assert digest(Federation.model_validate(data)) == before


def test_any_other_value_changes_the_digest(data):
    before = digest(Federation.model_validate(data))
    data["training"]["rounds"] = 51
    assert digest(Federation.model_validate(data)) != before


def test_the_toolkits_own_plugins_are_registered():
    names = registry.installed()
    assert "eicu" in names[registry.DATASETS]
    assert "logistic_regression" in names[registry.MODELS]
    assert "fedavg" in names[registry.AGGREGATIONS]


def test_a_federation_is_checked_without_loading_what_trains():
    """In a process of its own: neither torch nor the application nor AWS's libraries come along."""
    script = (
        "import sys; from pathlib import Path; from infra.federation.load import load_federation;"
        f"load_federation(Path({str(CHECKOUT / 'federation.yaml')!r}));"
        "print([name for name in ('torch', 'fl_app', 'boto3', 'aws_cdk', 'numpy') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert shown.stdout.strip() == "[]"
