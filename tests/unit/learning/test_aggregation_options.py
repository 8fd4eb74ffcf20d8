"""An option that is not there, or out of range, is refused in words that help."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fl_app.errors import PluginError
from fl_app.plugins import load_plugin


def make(name: str, **options: Any) -> Any:
    return load_plugin("federate.aggregations", name)(options)


@pytest.mark.parametrize(
    "name",
    ["fedavg", "fedprox", "fedavgm", "fedadam", "fedyogi", "fedadagrad", "scaffold", "trimmed_mean", "median"],
)
def test_every_aggregation_is_installed_and_needs_no_option(name: str) -> None:
    assert make(name)
    with pytest.raises(PluginError, match=f"{name} has no option 'colour'"):
        make(name, colour="blue")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("fedadam", {"beta_1": 0.9}, "Did you mean 'beta1'?"),
        ("fedprox", {"nu": 0.1}, "its options are mu"),
        ("fedavg", {"mu": 0.1}, "it has none"),
        ("fedprox", {"mu": -1}, "mu is -1; allowed is a number at least 0"),
        ("fedadam", {"beta1": 1.0}, "beta1 is 1.0; allowed is a number at least 0 and below 1"),
        ("fedyogi", {"tau": 0}, "tau is 0; allowed is a number above 0"),
        ("fedavgm", {"momentum": "0.9"}, "momentum is '0.9'"),
        ("scaffold", {"server_learning_rate": True}, "server_learning_rate is True"),
        ("fedadam", {"server_learning_rate": float("nan")}, "server_learning_rate is nan"),
        ("fedadagrad", {"beta2": 0.9}, "fedadagrad has no option 'beta2'"),
        ("trimmed_mean", {"trim": 0.5}, "trim is 0.5; allowed is a share of the sites above 0 and below 0.5"),
        ("trimmed_mean", {"trim": 0}, "trim is 0"),
        ("trimmed_mean", {"trim": True}, "trim is True"),
        ("trimmed_mean", {"trimm": 1}, "Did you mean 'trim'?"),
    ],
)
def test_what_is_wrong_with_an_option_is_said(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(PluginError, match=re.escape(said)):
        make(name, **options)


def test_all_faults_come_at_once() -> None:
    with pytest.raises(PluginError, match=r"(?s)no option 'eta'.*beta1 is 2.*tau is -1"):
        make("fedadam", eta=1, beta1=2, tau=-1)
