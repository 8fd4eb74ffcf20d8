"""Intrinsic functions, conditions, rules and dynamic references of a template.

Source: "Intrinsic function reference", "Pseudo parameters reference" and "Dynamic references" in the AWS CloudFormation
User Guide. Functions of the language extensions transform are not implemented and are refused.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from infra.local.aws.cfn.errors import TemplateError
from infra.local.aws.cfn.parameters import Parameter
from infra.local.aws.cfn.template import Template

#: What a change set shows for a value that exists only once the change has been made (DescribeChangeSet).
KNOWN_AFTER_APPLY = "{{changeSet:KNOWN_AFTER_APPLY}}"

_DYNAMIC = re.compile(r"\{\{resolve:([a-z-]+):([^}]+)\}\}")
_PLACEHOLDER = re.compile(r"\$\{([^}]+)\}")
_NO_VALUE = object()


class World(Protocol):
    """What the functions see beside the template: the stack's resources and the account's other stores."""

    def reference(self, logical_id: str) -> str | None:
        """Return what ``Ref`` gives for a resource; None while it does not exist."""

    def attribute(self, logical_id: str, name: str) -> str | list[str] | None:
        """Return what ``Fn::GetAtt`` gives for a resource; None while it does not exist."""

    def import_value(self, name: str) -> str:
        """Return the value of another stack's export."""

    def dynamic_reference(self, service: str, reference: str) -> str:
        """Return the value behind ``{{resolve:service:reference}}``."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stack is, for the pseudo parameters."""

    account: str
    region: str
    stack_name: str
    stack_id: str


@dataclass
class Resolver:
    """Evaluates template values for one stack.

    A reference to a resource that does not exist yet gives :data:`KNOWN_AFTER_APPLY`, and so does all that is computed
    from it.
    """

    template: Template
    parameters: Mapping[str, Parameter]
    place: Place
    world: World
    _conditions: dict[str, bool] = field(default_factory=dict)

    def condition(self, name: str) -> bool:
        """Evaluate a condition of the template by its name."""
        if name not in self.template.conditions:
            raise TemplateError(f"Template format error: Unresolved condition dependency {name}.")
        if name not in self._conditions:
            self._conditions[name] = bool(self.value(self.template.conditions[name]))
        return self._conditions[name]

    def live_resources(self) -> tuple[str, ...]:
        """Return the logical ids whose condition holds, in the template's order."""
        return tuple(
            name
            for name, resource in self.template.resources.items()
            if resource.condition is None or self.condition(resource.condition)
        )

    def check_rules(self) -> None:
        """Hold the template's ``Rules`` against the parameters.

        Raises:
            TemplateError: an assertion does not hold.
        """
        for name, rule in self.template.rules.items():
            if "RuleCondition" in rule and not self.value(rule["RuleCondition"]):
                continue
            for assertion in rule.get("Assertions", ()):
                if not self.value(assertion["Assert"]):
                    detail = assertion.get("AssertDescription", f"rule {name} does not hold")
                    raise TemplateError(f"Template validation error: {detail}")

    def value(self, value: Any) -> Any:
        """Evaluate any template value; maps and lists are evaluated member by member."""
        resolved = self._value(value)
        return None if resolved is _NO_VALUE else resolved

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in (self._value(entry) for entry in value) if item is not _NO_VALUE]
        if isinstance(value, str):
            return self._dynamic(value)
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            if name == "Ref":
                return self._ref(argument)
            if name == "Condition" and isinstance(argument, str) and argument in self.template.conditions:
                return self.condition(argument)
            if name.startswith("Fn::"):
                function = _FUNCTIONS.get(name)
                if function is None:
                    raise TemplateError(
                        f"Template format error: Unrecognized function {name} "
                        f"(loopback AWS implements {', '.join(sorted(_FUNCTIONS))})"
                    )
                return function(self, argument)
        members = ((key, self._value(item)) for key, item in value.items())
        return {key: item for key, item in members if item is not _NO_VALUE}

    def _ref(self, name: str) -> Any:
        pseudo = {
            "AWS::AccountId": self.place.account,
            "AWS::Region": self.place.region,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": self.place.stack_name,
            "AWS::StackId": self.place.stack_id,
            "AWS::NoValue": _NO_VALUE,
        }
        if name in pseudo:
            return pseudo[name]
        if name in self.parameters:
            value = self.parameters[name].value
            return list(value) if isinstance(value, tuple) else value
        if name not in self.template.resources:
            raise TemplateError(
                f"Template format error: Unresolved resource dependencies [{name}] in the Resources block of the "
                "template"
            )
        found = self.world.reference(name)
        return KNOWN_AFTER_APPLY if found is None else found

    def _attribute(self, name: str, attribute: str) -> Any:
        if name not in self.template.resources:
            raise TemplateError(f"Template error: instance of Fn::GetAtt references undefined resource {name}")
        found = self.world.attribute(name, attribute)
        return KNOWN_AFTER_APPLY if found is None else found

    def _dynamic(self, text: str) -> str:
        return _DYNAMIC.sub(lambda match: self.world.dynamic_reference(match[1], match[2]), text)

    def _get_att(self, argument: Any) -> Any:
        name, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
        return self._attribute(name, self.value(attribute))

    def _join(self, argument: Any) -> Any:
        parts = self._value(argument[1])
        if isinstance(parts, str):
            return parts
        return str(argument[0]).join(str(part) for part in parts)

    def _split(self, argument: Any) -> Any:
        text = self._value(argument[1])
        return text if text == KNOWN_AFTER_APPLY else text.split(argument[0])

    def _select(self, argument: Any) -> Any:
        values = self._value(argument[1])
        if values == KNOWN_AFTER_APPLY:
            return values
        index = int(self._value(argument[0]))
        if not 0 <= index < len(values):
            raise TemplateError(f"Template error: Fn::Select cannot select nonexistent value at index {index}")
        return values[index]

    def _sub(self, argument: Any) -> str:
        text, variables = (argument, {}) if isinstance(argument, str) else (argument[0], argument[1])

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in variables:
                return str(self._value(variables[name]))
            if "." in name and not name.startswith("AWS::"):
                return str(self._attribute(*name.split(".", 1)))
            return str(self._ref(name))

        return self._dynamic(_PLACEHOLDER.sub(replace, text))

    def _base64(self, argument: Any) -> str:
        text = self._value(argument)
        return KNOWN_AFTER_APPLY if KNOWN_AFTER_APPLY in text else base64.b64encode(text.encode()).decode()

    def _if(self, argument: Any) -> Any:
        return self._value(argument[1] if self.condition(argument[0]) else argument[2])

    def _equals(self, argument: Any) -> bool:
        left, right = (self._value(item) for item in argument)
        return str(left) == str(right)

    def _contains(self, argument: Any) -> bool:
        return self._value(argument[1]) in self._value(argument[0])

    def _find_in_map(self, argument: Any) -> Any:
        name, top, second = (self._value(item) for item in argument)
        try:
            return self.template.mappings[name][top][second]
        except KeyError as error:
            raise TemplateError(f"Template error: Unable to get mapping for {name}::{top}::{second}") from error

    def _zones(self, argument: Any) -> list[str]:
        region = self._value(argument) or self.place.region
        return [f"{region}{letter}" for letter in "abc"]

    def _cidr(self, argument: Any) -> Any:
        block = self._value(argument[0])
        if block == KNOWN_AFTER_APPLY:
            return block
        count, bits = int(self._value(argument[1])), int(self._value(argument[2])) if len(argument) > 2 else 8
        subnets = ipaddress.ip_network(block).subnets(new_prefix=32 - bits)
        return [str(subnet) for _, subnet in zip(range(count), subnets, strict=False)]


_FUNCTIONS: dict[str, Callable[[Resolver, Any], Any]] = {
    "Fn::GetAtt": Resolver._get_att,
    "Fn::Join": Resolver._join,
    "Fn::Split": Resolver._split,
    "Fn::Select": Resolver._select,
    "Fn::Sub": Resolver._sub,
    "Fn::Base64": Resolver._base64,
    "Fn::If": Resolver._if,
    "Fn::Equals": Resolver._equals,
    "Fn::Contains": Resolver._contains,
    "Fn::And": lambda resolver, argument: all(resolver._value(item) for item in argument),
    "Fn::Or": lambda resolver, argument: any(resolver._value(item) for item in argument),
    "Fn::Not": lambda resolver, argument: not resolver._value(argument[0]),
    "Fn::FindInMap": Resolver._find_in_map,
    "Fn::ImportValue": lambda resolver, argument: resolver.world.import_value(resolver.value(argument)),
    "Fn::GetAZs": Resolver._zones,
    "Fn::Cidr": Resolver._cidr,
}
