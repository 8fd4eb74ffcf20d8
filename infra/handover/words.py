"""What a template says, in words: values, policy statements and security-group rules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Template = Mapping[str, Any]

_OWN = {"AWS::AccountId": "this account", "AWS::Region": "this Region", "AWS::Partition": "aws"}
#: Condition operators as one would say them; another one is shown by its own name.
_OPERATORS = {
    "StringEquals": "is",
    "StringNotEquals": "is not",
    "StringLike": "is like",
    "StringNotLike": "is not like",
    "ArnEquals": "is",
    "ArnLike": "is like",
    "ArnNotEquals": "is not",
    "Bool": "is",
    "NumericLessThan": "is less than",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a policy.

    Args:
        holder: the resource that it stands in: ``SiteNode/Role``.
        where: the place in it: ``Policies/0/PolicyDocument``.
        document: the statement.
    """

    holder: str
    where: str
    document: Mapping[str, Any]


def listed(value: Any) -> list[Any]:
    """Return a value that may stand alone or in a list as a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def text(value: Any, exports: Mapping[str, str]) -> str:
    """Return a template's value as a person reads it.

    Args:
        value: a literal, or an intrinsic function.
        exports: what stacks of the same kit export: name of the export to its value in words.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, dict) or len(value) != 1:
        return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    (function, argument), *_ = value.items()
    if function == "Ref":
        return _OWN.get(argument, str(argument))
    if function == "Fn::GetAtt":
        return ".".join(argument) if isinstance(argument, list) else str(argument)
    if function == "Fn::Join":
        return str(argument[0]).join(text(part, exports) for part in argument[1])
    if function == "Fn::ImportValue":
        return exports.get(str(argument), str(argument))
    if function == "Fn::Sub" and isinstance(argument, str):
        return argument
    return json.dumps(value, sort_keys=True)


def quoted(value: Any, exports: Mapping[str, str]) -> str:
    """Return values in code marks, joined by *or*."""
    return " or ".join(f"`{text(one, exports)}`" for one in listed(value))


def statements(stack: str, template: Template) -> Iterator[Statement]:
    """Yield every statement of every policy in a template, wherever it stands."""
    for name, resource in template["Resources"].items():
        yield from _in(f"{stack}/{name}", "", resource.get("Properties", {}))


def _in(holder: str, where: str, value: Any) -> Iterator[Statement]:
    if isinstance(value, dict):
        if "Statement" in value:
            for one in listed(value["Statement"]):
                yield Statement(holder, where, one)
            return
        for key, inner in value.items():
            yield from _in(holder, f"{where}/{key}".lstrip("/"), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _in(holder, f"{where}/{index}", inner)


def in_words(statement: Statement, exports: Mapping[str, str]) -> str:
    """Say who may do what to what, and under which condition."""
    document = statement.document
    who = principals(document, exports)
    does = "may" if document["Effect"] == "Allow" else "may **not**"
    parts = [f"{who} {does}" if who else does.capitalize(), _what("Action", document, exports)]
    if "Resource" in document or "NotResource" in document:
        parts += ["on", _what("Resource", document, exports)]
    conditions = [
        _condition(operator, key, value, exports)
        for operator, pairs in document.get("Condition", {}).items()
        for key, value in pairs.items()
    ]
    if conditions:
        parts += ["only where" if document["Effect"] == "Allow" else "where", " and ".join(conditions)]
    name = f" ({document['Sid']})" if "Sid" in document else ""
    return f"{' '.join(parts)}.{name}"


def _condition(operator: str, key: str, value: Any, exports: Mapping[str, str]) -> str:
    if operator == "Null":
        return f"`{key}` is {'missing' if str(value).lower() == 'true' else 'given'}"
    plain = operator.removesuffix("IfExists")
    where = ", if it is given," if plain != operator else ""
    return f"`{key}`{where} {_OPERATORS.get(plain, plain)} {quoted(value, exports)}"


def principals(document: Mapping[str, Any], exports: Mapping[str, str]) -> str:
    """Return whom a statement is about; empty where that is the holder of the policy."""
    found = document.get("Principal", document.get("NotPrincipal"))
    if found is None:
        return ""
    except_ = "Anyone except " if "NotPrincipal" in document else ""
    if found == "*" or found == {"AWS": "*"}:
        return f"{except_}Anyone (`*`)"
    kinds = {"Service": "The AWS service ", "AWS": "", "Federated": "The identity provider "}
    return except_ + " and ".join(f"{kinds.get(kind, kind)}{quoted(one, exports)}" for kind, one in found.items())


def _what(key: str, document: Mapping[str, Any], exports: Mapping[str, str]) -> str:
    if f"Not{key}" in document:
        return f"everything except {quoted(document[f'Not{key}'], exports)}"
    found = document.get(key, "*")
    return ", ".join(f"`{text(one, exports)}`" for one in listed(found))


def rules(name: str, resource: Mapping[str, Any], exports: Mapping[str, str]) -> Iterator[str]:
    """Yield a security group's rules, or the one rule that a resource is, in words."""
    properties = resource.get("Properties", {})
    if resource["Type"] == "AWS::EC2::SecurityGroup":
        for rule in properties.get("SecurityGroupIngress", []):
            yield _rule(name, "admits", rule, exports)
        for rule in properties.get("SecurityGroupEgress", []):
            yield _rule(name, "may reach", rule, exports)
    elif resource["Type"] in ("AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroupEgress"):
        verb = "admits" if resource["Type"].endswith("Ingress") else "may reach"
        yield _rule(text(properties["GroupId"], exports).removesuffix(".GroupId"), verb, properties, exports)


def addresses(resource: Mapping[str, Any], direction: str) -> Iterator[str]:
    """Yield the address ranges that a resource's rules of a direction, Ingress or Egress, name."""
    properties = resource.get("Properties", {})
    own = [properties] if resource["Type"] == f"AWS::EC2::SecurityGroup{direction}" else []
    for rule in [*own, *properties.get(f"SecurityGroup{direction}", [])]:
        for key in ("CidrIp", "CidrIpv6"):
            if key in rule:
                yield str(rule[key])


def _rule(group: str, verb: str, rule: Mapping[str, Any], exports: Mapping[str, str]) -> str:
    ports = {int(rule[key]) for key in ("FromPort", "ToPort") if key in rule}
    protocol = "everything" if str(rule["IpProtocol"]) == "-1" else str(rule["IpProtocol"])
    port = f" port {'–'.join(str(one) for one in sorted(ports))}" if ports else ""
    peers = [text(rule[key], exports) for key in _PEERS if key in rule]
    preposition = "from" if verb == "admits" else "at"
    why = f": {rule['Description']}" if "Description" in rule else ""
    return f"`{group}` {verb} {protocol}{port} {preposition} {', '.join(f'`{peer}`' for peer in peers)}{why}."


_PEERS = (
    "CidrIp",
    "CidrIpv6",
    "SourceSecurityGroupId",
    "SourcePrefixListId",
    "DestinationSecurityGroupId",
    "DestinationPrefixListId",
)
