"""Plug-ins are found by name among the installed packages, and a name that is not there gets a suggestion."""

from __future__ import annotations

import pytest

from fl_app.errors import PluginError
from fl_app.plugins import ModelSpec, call_plugin, load_plugin


def test_a_user_s_package_adds_a_data_set_by_an_entry_point() -> None:
    assert load_plugin("federate.datasets", "blobs").__name__ == "blobs"


def test_a_name_that_is_not_installed_gets_the_list_and_a_suggestion() -> None:
    with pytest.raises(PluginError, match=r"(?s)Installed: .*logistic_regression.*Did you mean 'logistic_regression'"):
        load_plugin("federate.models", "logistic_regresion")


def test_what_a_plug_in_raises_becomes_an_error_that_names_it() -> None:
    with pytest.raises(PluginError, match="The dataset 'blobs' failed: AttributeError"):
        call_plugin("federate.datasets", "blobs", None)


def test_the_built_in_model_is_a_plug_in_like_any_other() -> None:
    assert call_plugin("federate.models", "logistic_regression", ModelSpec({"inputs": 3})).inputs == 3
