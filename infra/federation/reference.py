"""The reference page of ``federation.yaml``: every key, what it is, what may stand there and what stands there else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

_HEAD = """\
# federation.yaml: every key

<!-- Written by `python -m infra.federation.schema`; a test holds it current. -->

One file describes a federation. Whatever can be derived from it is derived: addresses, routes, rules, role names and
FedML's three files. A key that is not on this page is an error, and so is a value that does not fit; all problems of a
file are shown at once, each with its line and the remedy. Required keys are **bold**.

An editor that speaks YAML's language server completes and checks the keys if the file begins with

```yaml
# yaml-language-server: $schema=infra/federation/federation.schema.json
```
"""

_TAIL = """
## What is checked beyond single values

- every site has an id and an account of its own (one account for several only under `single_account: true`);
- no two ranges overlap, and each node's Region has a machine image and the zone that is named;
- the instance type exists and has the GPUs that `gpu_mapping` speaks of;
- data set, model and aggregation are installed (entry points), the quorum is not above the number of sites;
- `scaffold` has the optimizer `sgd`; `trimmed_mean` and `median` have five participants and a quorum of five or more;
- a `kms_key` is of the node's own account and Region, a `bucket_prefix` stands beside a `bucket`, and no two nodes
  share a bucket under one prefix;
- no hospital is at two sites; at most 125 sites, and a warning above 50, the quota of peerings that AWS gives at first;
- no secret stands in the file, and none of FedML's switches for privacy, attack or defence.
"""


def reference(schema: dict[str, Any]) -> str:
    """Return the page in Markdown.

    Args:
        schema: the JSON Schema of the federation.
    """
    sections = "".join(_section(title, model, schema) for title, model in _models(schema))
    return f"{_HEAD}{sections}{_TAIL}"


def _models(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (title, model) in reading order: the top, then each section below it where it is first mentioned."""
    waiting: list[tuple[str, dict[str, Any]]] = [("", schema)]
    seen: set[str] = set()
    while waiting:
        path, model = waiting.pop(0)
        yield path, model
        for key, entry in model["properties"].items():
            target = _target(entry)
            if target and target not in seen:
                seen.add(target)
                dotted = f"{path}.{key}" if path else key
                title = f"{dotted}[]" if entry.get("type") == "array" else dotted
                waiting.append((title, schema["$defs"][target]))


def _section(title: str, model: dict[str, Any], schema: dict[str, Any]) -> str:
    required = set(model.get("required", ()))
    rows = [
        f"| {f'**`{key}`**' if key in required else f'`{key}`'} | {_kind(entry, schema)} | {_default(entry, schema)} "
        f"| {_cell(_description(entry, schema))} |"
        for key, entry in sorted(model["properties"].items(), key=lambda item: item[0] not in required)
    ]
    head = f"## `{title}`\n\n{model['description']}" if title else f"## At the top\n\n{model['description']}"
    return f"\n{head}\n\n| key | value | if left out | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _target(entry: dict[str, Any]) -> str | None:
    """Return the name of the section that an entry leads to, if it leads to one."""
    if "$ref" in entry:
        return str(entry["$ref"].rsplit("/", 1)[1])
    inner = [*entry.get("anyOf", ()), *([entry["items"]] if "items" in entry else [])]
    return next((target for target in map(_target, inner) if target), None)


def _kind(entry: dict[str, Any], schema: dict[str, Any]) -> str:
    if "anyOf" in entry:
        return " or ".join(_kind(option, schema) for option in entry["anyOf"] if option.get("type") != "null")
    if "enum" in entry or "const" in entry:
        return ", ".join(f"`{value}`" for value in entry.get("enum", [entry.get("const")]))
    if "$ref" in entry:
        return "a section"
    if entry.get("type") == "array":
        return f"a list of {'sections' if _target(entry) else _plural(_kind(entry['items'], schema))}"
    if entry.get("type") == "object":
        return "keys and values"
    return _scalar(entry)


def _scalar(entry: dict[str, Any]) -> str:
    name = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`", "string": "text"}[
        entry["type"]
    ]
    words = {
        "exclusiveMinimum": "more than",
        "minimum": "at least",
        "exclusiveMaximum": "less than",
        "maximum": "at most",
    }
    limits = [f"{word} {entry[limit]}" for limit, word in words.items() if limit in entry]
    return f"{name}, {' and '.join(limits)}" if limits else name


def _plural(kind: str) -> str:
    return kind.replace("whole number", "whole numbers")


def _default(entry: dict[str, Any], schema: dict[str, Any]) -> str:
    if "default" not in entry:
        return ""
    value = entry["default"]
    if value is None or value == {} or _target(entry):
        if isinstance(value, dict) and value.get("name"):
            return f"`{value['name']}`"
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _description(entry: dict[str, Any], schema: dict[str, Any]) -> str:
    examples = entry.get("examples")
    target = schema["$defs"].get(_target(entry), {})
    text = str(entry.get("description") or target.get("description", ""))
    if not examples:
        return text
    shown = ", ".join(f"`{json.dumps(example)}`" for example in examples)
    return f"{text} For example {shown}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
