"""What pydantic finds wrong with a value, in words for somebody who has never heard of pydantic."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from infra.federation import fedml_words
from infra.federation.finding import Finding, dotted
from infra.federation.model import Federation
from infra.federation.source import Document, Path
from infra.federation.values import OWN_ERROR, short
from infra.federation.words import did_you_mean, listed


def path_of(error: ErrorDetails) -> Path:
    """Return the place of an error as a path in the file."""
    return tuple(part for part in error["loc"] if part != "[key]")


def finding(error: ErrorDetails, document: Document) -> Finding:
    """Return one of pydantic's errors in plain words."""
    path = path_of(error)
    value, kind = error["input"], error["type"]
    written = document.texts.get(path)
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "missing":
        return _missing(path)
    if path and path[-1] == "account":
        return Finding(path, *_account(value, written))
    if kind == OWN_ERROR:
        context = error["ctx"]
        return Finding(path, context["found"], context["allowed"], context["remedy"])
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        return Finding(
            path, f"{_said(value, written)}.", f"One of {listed(options)}.", did_you_mean(str(value), options)
        )
    if kind in _BOUNDS:
        return Finding(path, f"{short(value)} is {_BOUNDS[kind]}.", _bounds(path, error["ctx"]))
    wanted, remedy = _WANTED.get(kind, (error["msg"] + ".", ""))
    return Finding(path, f"{_said(value, written)}.", wanted, remedy)


_BOUNDS = {
    "greater_than": "too small",
    "greater_than_equal": "too small",
    "less_than": "too large",
    "less_than_equal": "too large",
}
_NUMBER = ("A number.", "")
_WHOLE = ("A whole number, without quotes.", "")
_TEXT = ("Text.", 'Put it in quotes: "…".')
_FLAG = ("true or false, without quotes.", "")
_LIST = ("A list: [ … ], or lines that begin with a hyphen.", "")
_SECTION = ("A section: indented lines of key: value.", "Leave the key out if there is nothing to say under it.")
#: pydantic's error type to (what is allowed, what to do).
_WANTED: dict[str, tuple[str, str]] = {
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": ("A finite number.", ""),
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": _WHOLE,
    "bool_type": _FLAG,
    "bool_parsing": _FLAG,
    "string_type": _TEXT,
    "string_too_short": ("Text of at least one character.", ""),
    "string_too_long": ("Shorter text: AWS takes no more.", ""),
    "tuple_type": _LIST,
    "list_type": _LIST,
    "too_short": ("One entry at least.", ""),
    "too_long": ("Fewer entries: AWS takes no more.", ""),
    "dict_type": _SECTION,
    "model_type": _SECTION,
    "model_attributes_type": _SECTION,
    "invalid_key": ("Keys are words.", "Put it in quotes if it is meant."),
    "invalid-json-value": ("Text, numbers, true, false, lists and sections.", "Put a date in quotes."),
}


def _said(value: Any, written: str | None) -> str:
    """Say what stands there, as it is written, and what YAML takes it for."""
    if value is None:
        return "is empty"
    if isinstance(value, bool):
        truth = str(value).lower()
        return f"{truth}" if written in (None, truth) else f"{short(written)}, which YAML reads as {truth}"
    for kind, name in (
        (dict, "a section"),
        (list, "a list"),
        (tuple, "a list"),
    ):
        if isinstance(value, kind):
            return f"is {name}" if value else f"is {name} with nothing in it"
    if value == "":
        return "is empty"
    kind_name = "text" if isinstance(value, str) else "a number" if isinstance(value, int | float) else "a date or such"
    return f"{short(written if written is not None else value)} ({kind_name})"


def _account(value: Any, written: str | None) -> tuple[str, str, str]:
    allowed = "The 12 digits of an AWS account id, in quotes."
    if isinstance(value, bool) or not isinstance(value, int | str):
        return f"{_said(value, written)}.", allowed, ""
    text = written if written is not None and isinstance(value, int) else str(value)
    digits = re.sub(r"[\s_-]", "", text)
    remedy = f'Write account: "{digits}".' if re.fullmatch(r"[0-9]{12}", digits) else ""
    if isinstance(value, str):
        count = len(re.findall("[0-9]", value))
        detail = f"has {count} digits" if value.isdigit() else "is no account id"
        return f"{short(value)} {detail}.", allowed, remedy
    if text.startswith("0"):
        return f"{short(text)} is without quotes: YAML reads it as an octal number, {value}.", allowed, remedy
    return f"{short(text)} is without quotes: YAML reads it as a number.", allowed, remedy


def _unknown_key(path: Path) -> Finding:
    key = str(path[-1])
    explained = fedml_words.explain(key)
    if explained:
        return Finding(path, *explained)
    known = _keys(path[:-1])
    near = did_you_mean(key, known)
    if not near:
        homes = [dotted(home) for home in _all_keys(Federation, ()) if home[-1] == key]
        near = f"It belongs at {' or '.join(homes)}." if homes else ""
    where = f"under {dotted(path[:-1])}" if len(path) > 1 else "at the top"
    return Finding(path, "is not a known key.", f"Known {where}: {listed(known)}.", near)


def _missing(path: Path) -> Finding:
    model = _model_at(path[:-1])
    field = model.model_fields.get(str(path[-1])) if model else None
    description = (field.description or "") if field else ""
    example = (field.examples or [None])[0] if field else None
    quoted = f'"{example}"' if path[-1] == "account" else example
    return Finding(path, "is missing.", description, f"For example: {path[-1]}: {quoted}" if example else "")


def _bounds(path: Path, context: Mapping[str, Any]) -> str:
    """Return the whole range that is allowed, though pydantic's error names one end of it."""
    model = _model_at(tuple(part for part in path[:-1]))
    field = model.model_fields.get(str(path[-1])) if model else None
    limits = {**context}
    for constraint in _constraints(field.annotation, field.metadata) if field else ():
        limits |= constraint
    words = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
    parts = [f"{words[name]} {limits[name]}" for name in ("gt", "ge", "lt", "le") if name in limits]
    return f"{' and '.join(parts).capitalize()}."


def _constraints(annotation: Any, metadata: list[Any]) -> Iterator[dict[str, Any]]:
    for item in metadata:
        yield {name: getattr(item, name) for name in ("gt", "ge", "lt", "le") if getattr(item, name, None) is not None}
    for inner in typing.get_args(annotation):
        yield from _constraints(inner, list(getattr(annotation, "__metadata__", ())))


def _keys(path: Path) -> list[str]:
    model = _model_at(path)
    return list(model.model_fields) if model else []


def _model_at(path: Path) -> type[BaseModel] | None:
    model: type[BaseModel] | None = Federation
    for part in path:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part) if model else None
        model = _model_in(field.annotation) if field else None
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    inner = (_model_in(argument) for argument in typing.get_args(annotation))
    return next((model for model in inner if model), None)


def _all_keys(model: type[BaseModel], path: Path) -> Iterator[Path]:
    for name, field in model.model_fields.items():
        yield (*path, name)
        inner = _model_in(field.annotation)
        if inner:
            yield from _all_keys(inner, (*path, name))
