"""A template's parameters: the given values, checked against their declarations.

Source: "Parameters" in the AWS CloudFormation User Guide; the message texts are those of CreateChangeSet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from infra.local.aws.cfn.errors import CloudFormationError, TemplateError

_PLAIN = {"String", "Number", "CommaDelimitedList", "List<Number>", "List<String>"}
_SSM = re.compile(r"AWS::SSM::Parameter::Value<(List<.+>|CommaDelimitedList|.+)>")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter with its value: ``raw`` as it was given, ``value`` as ``Ref`` gives it."""

    raw: str
    value: str | tuple[str, ...]
    from_parameter_store: bool = False
    hidden: bool = False


#: Reads a value of the account's parameter store; raises KeyError for an unknown name.
ReadParameter = Callable[[str], str]


def resolve(
    declarations: Mapping[str, Mapping[str, Any]],
    given: list[dict[str, Any]],
    previous: Mapping[str, Parameter],
    read_parameter: ReadParameter,
) -> dict[str, Parameter]:
    """Give every declared parameter its value.

    Args:
        declarations: the template's ``Parameters``.
        given: the request's ``Parameters``: ParameterKey with ParameterValue or UsePreviousValue.
        previous: the stack's parameters so far.
        read_parameter: look-up for the types ``AWS::SSM::Parameter::Value<…>``.

    Raises:
        CloudFormationError: a value is missing, unknown or not allowed.
    """
    unknown = [item["ParameterKey"] for item in given if item["ParameterKey"] not in declarations]
    if unknown:
        raise CloudFormationError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values: dict[str, Any] = {}
    for item in given:
        name = item["ParameterKey"]
        if item.get("UsePreviousValue"):
            if name not in previous:
                raise CloudFormationError(f"Parameters: [{name}] must have values")
            values[name] = previous[name].raw
        else:
            values[name] = item.get("ParameterValue", "")
    raw = {name: values.get(name, declaration.get("Default")) for name, declaration in declarations.items()}
    missing = [name for name, value in raw.items() if value is None]
    if missing:
        raise CloudFormationError(f"Parameters: [{', '.join(missing)}] must have values")
    return {name: _resolve(name, declarations[name], str(value), read_parameter) for name, value in raw.items()}


def _resolve(name: str, declaration: Mapping[str, Any], raw: str, read_parameter: ReadParameter) -> Parameter:
    kind = declaration.get("Type", "String")
    hidden = str(declaration.get("NoEcho", "false")).lower() == "true"
    stored = _SSM.fullmatch(kind)
    if stored is None and kind not in _PLAIN:
        raise TemplateError(
            f"Template format error: Unrecognized parameter type: {kind} (loopback AWS implements "
            f"{', '.join(sorted(_PLAIN))} and AWS::SSM::Parameter::Value<…>)"
        )
    _check(name, declaration, raw, kind)
    if stored:
        try:
            text = read_parameter(raw)
        except KeyError as error:
            raise CloudFormationError(
                f"Unable to fetch parameters [{raw}] from parameter store for this account."
            ) from error
        many = "List<" in stored.group(1) or stored.group(1) == "CommaDelimitedList"
        return Parameter(raw, _split(text) if many else text, from_parameter_store=True, hidden=hidden)
    many = kind == "CommaDelimitedList" or kind.startswith("List<")
    return Parameter(raw, _split(raw) if many else raw, hidden=hidden)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


def _check(name: str, declaration: Mapping[str, Any], raw: str, kind: str) -> None:
    many = kind == "CommaDelimitedList" or kind.startswith("List<")
    for value in _split(raw) if many else (raw,):
        allowed = declaration.get("AllowedValues")
        if allowed is not None and value not in [str(item) for item in allowed]:
            _refuse(name, declaration, f"Parameter '{name}' must be one of AllowedValues")
        pattern = declaration.get("AllowedPattern")
        if pattern is not None and not re.fullmatch(pattern, value):
            _refuse(name, declaration, f"Parameter '{name}' must match pattern {pattern}")
        if len(value) < int(declaration.get("MinLength", 0)):
            _refuse(
                name, declaration, f"Parameter '{name}' must contain at least {declaration['MinLength']} characters"
            )
        if "MaxLength" in declaration and len(value) > int(declaration["MaxLength"]):
            _refuse(name, declaration, f"Parameter '{name}' must contain at most {declaration['MaxLength']} characters")
        if kind in ("Number", "List<Number>"):
            _check_number(name, declaration, value)


def _check_number(name: str, declaration: Mapping[str, Any], value: str) -> None:
    try:
        number = float(value)
    except ValueError as error:
        raise CloudFormationError(f"Parameter '{name}' must be a number") from error
    if "MinValue" in declaration and number < float(declaration["MinValue"]):
        _refuse(name, declaration, f"Parameter '{name}' must be a number not less than {declaration['MinValue']}")
    if "MaxValue" in declaration and number > float(declaration["MaxValue"]):
        _refuse(name, declaration, f"Parameter '{name}' must be a number not greater than {declaration['MaxValue']}")


def _refuse(name: str, declaration: Mapping[str, Any], message: str) -> None:
    constraint = declaration.get("ConstraintDescription")
    raise CloudFormationError(f"Parameter {name} failed to satisfy constraint: {constraint}" if constraint else message)
