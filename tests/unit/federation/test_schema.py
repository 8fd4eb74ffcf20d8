"""The JSON Schema and the reference page."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from infra.federation.reference import reference
from infra.federation.schema import REFERENCE_FILE, SCHEMA_FILE, schema, schema_text

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def validator():
    jsonschema.Draft202012Validator.check_schema(schema())
    return jsonschema.Draft202012Validator(schema())


def test_schema_and_reference_page_are_current():
    """If not: python -m infra.federation.schema."""
    assert SCHEMA_FILE.read_text("utf-8") == schema_text()
    assert REFERENCE_FILE.read_text("utf-8") == reference(schema())


def test_the_example_names_the_schema_and_is_valid_by_it(validator, data):
    first = (CHECKOUT / "federation.yaml").read_text("utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={SCHEMA_FILE.relative_to(CHECKOUT)}"
    validator.validate(data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("nmae",), "eicu"),
        (("name",), "Not A Name"),
        (("aggregator", "account"), 333333333333),
        (("aggregator", "cidr"), "10.0.0.0/8"),
        (("training", "rounds"), 0),
        (("training", "learning_rate"), 0),
        (("training", "optimizer"), "adamm"),
        (("tracking", "wandb"), "yes"),
    ],
)
def test_an_editor_underlines_what_the_loader_refuses(validator, data, path, value):
    holder = data
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tracking", "wandb"), {"enabled": True, "project": "p"}),
        (("training", "model"), {"name": "mlp", "options": {"hidden": [64]}}),
        (("aggregator", "gpu_mapping"), []),
    ],
)
def test_both_forms_of_a_value_are_valid(validator, data, path, value):
    data[path[0]][path[1]] = value
    validator.validate(data)


def test_every_key_says_what_it_is():
    for name, model in {"": schema(), **schema()["$defs"]}.items():
        for key, entry in model.get("properties", {}).items():
            target = schema()["$defs"].get(entry.get("$ref", "").rpartition("/")[2], {})
            assert entry.get("description") or target.get("description"), f"{name}.{key}"


def test_every_key_is_on_the_reference_page():
    page = REFERENCE_FILE.read_text("utf-8")
    for model in (schema(), *schema()["$defs"].values()):
        for key in model.get("properties", {}):
            assert f"`{key}`" in page


def test_the_examples_of_the_schema_are_yaml_of_the_schema(validator, data):
    for key, entry in schema()["$defs"]["Aggregator"]["properties"].items():
        for example in entry.get("examples", ()):
            value = yaml.safe_load(yaml.safe_dump(example))
            validator.validate(data | {"aggregator": data["aggregator"] | {key: value}})
