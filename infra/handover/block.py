"""The text of ``federation.yaml``, one site's block more or less; every other line stays as it is written."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import yaml

from infra.errors import FederateError

_LIST, _ID = "participants", "id"


class NotEdited(FederateError):
    """The file is written in a way in which a block cannot be added or removed, or the block is not there."""

    exit_code = 2


def with_block(text: str, block: Mapping[str, Any]) -> str:
    """Return the text with a participant's block after the last one.

    Args:
        text: the file, which is a valid federation.
        block: the site's keys in their order; values of plain types.

    Raises:
        NotEdited: the participants are not written as lines that begin with a hyphen.
    """
    items = _items(text)
    lines = text.splitlines(keepends=True)
    last = _last_line(items[-1])
    if not lines[last].endswith("\n"):
        lines[last] += "\n"
    hyphen = _hyphen(lines, items[-1])
    lines[last + 1 : last + 1] = [f"{line}\n" for line in _written(block, hyphen)]
    return "".join(lines)


def without_block(text: str, site: str) -> str:
    """Return the text without the block of a site; comments above it stay.

    Raises:
        NotEdited: there is no such block, or it is the only one, or is written otherwise.
    """
    items = _items(text)
    found = [item for item in items if _id_of(item) == site]
    if not found:
        known = ", ".join(_id_of(item) for item in items)
        raise NotEdited(f"The file has no block of {site!r}.", remedy=f"There are {known}.")
    if len(items) == 1:
        raise NotEdited(
            f"{site} is the only site: a federation has one at least.",
            remedy="To end the federation: federate destroy.",
        )
    lines = text.splitlines(keepends=True)
    first, last = _first_line(lines, found[0]), _last_line(found[0])
    return "".join([*lines[:first], *lines[last + 1 :]])


def block_of(text: str, site: str) -> dict[str, Any]:
    """Return what a site's block says.

    Raises:
        NotEdited: there is no such block.
    """
    participants = yaml.safe_load(text)[_LIST]
    for one in participants:
        if one[_ID] == site:
            return dict(one)
    raise NotEdited(
        f"The file has no site {site!r}.", remedy=f"There are {', '.join(one[_ID] for one in participants)}."
    )


def difference(before: str, after: str, name: str) -> str:
    """Return what changes, as ``diff -u`` shows it."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm="", n=2)
    return "\n".join(lines)


def _items(text: str) -> list[yaml.MappingNode]:
    root = yaml.compose(text, yaml.SafeLoader)
    if isinstance(root, yaml.MappingNode):
        for key, value in root.value:
            if key.value == _LIST and isinstance(value, yaml.SequenceNode):
                # What stands elsewhere, by an alias, begins there.
                begins = [item.start_mark.line for item in value.value]
                is_plain = all(isinstance(item, yaml.MappingNode) for item in value.value)
                if not value.flow_style and begins and is_plain and begins == sorted(set(begins)):
                    return list(value.value)
    raise NotEdited(
        "The participants are not written one block after the other.",
        remedy="Write them as lines that begin with a hyphen, as the example federation.yaml does; or edit by hand.",
    )


def _id_of(item: yaml.MappingNode) -> str:
    return next((str(value.value) for key, value in item.value if key.value == _ID), "")


def _hyphen(lines: list[str], item: yaml.MappingNode) -> int:
    """Return the column of the hyphen of an item."""
    line = lines[_first_line(lines, item)]
    return len(line) - len(line.lstrip(" "))


def _first_line(lines: list[str], item: yaml.MappingNode) -> int:
    """Return the index of the line with the item's hyphen, which may stand above its first key."""
    index: int = item.start_mark.line
    while not lines[index].lstrip(" ").startswith("-"):
        index -= 1
    return index


def _last_line(node: yaml.Node) -> int:
    """Return the index of the last line of a value, without the comments and empty lines that follow it."""
    if isinstance(node, yaml.ScalarNode):
        end: Any = node.end_mark
        return int(end.line - 1 if end.column == 0 and end.line > node.start_mark.line else end.line)
    if node.flow_style or not node.value:
        return int(node.end_mark.line)
    inner = node.value[-1]
    return _last_line(inner[1] if isinstance(inner, tuple) else inner)


def _written(block: Mapping[str, Any], hyphen: int) -> list[str]:
    lines: list[str] = []
    for key, value in block.items():
        written = _value(value)
        lines.append(f"{' ' * hyphen}{'  ' if lines else '- '}{key}: {written}")
    return lines


def _value(value: Any) -> str:
    """Return a value on one line; an account's id in the quotes that it needs."""
    if isinstance(value, str) and value.isdigit():
        return f'"{value}"'
    dumped = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return str(dumped.removesuffix("...\n").strip())
