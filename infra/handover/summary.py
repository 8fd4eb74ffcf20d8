"""SUMMARY.md: every resource and every permission of a site's templates, read from the templates themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.handover.words import (
    Statement,
    Template,
    addresses,
    in_words,
    listed,
    principals,
    rules,
    statements,
    text,
)

_ACCOUNT = re.compile(r"\b\d{12}\b")
#: What is billed, by what; another type is not billed by itself, or its bill is not known here. AWS's price list has
#: the amounts.
_BILLED = {
    "AWS::EC2::Instance": "by the hour while it runs",
    "AWS::EC2::Volume": "by GiB and month",
    "AWS::EC2::NatGateway": "by the hour and by GB",
    "AWS::S3::Bucket": "by GB and month, and by request",
    "AWS::KMS::Key": "by the month, and by request",
    "AWS::Logs::LogGroup": "by GB that is written, and by GB and month",
    "AWS::EC2::FlowLog": "by GB that is written",
    "AWS::CloudWatch::Alarm": "by the month",
    "AWS::CloudWatch::Dashboard": "by the month",
    "AWS::SecretsManager::Secret": "by the month",
    "AWS::SNS::Topic": "by message",
    "AWS::EC2::VPCPeeringConnection": "by GB that crosses zones or Regions",
}
#: By which a network would be open to the internet.
_OPENINGS = tuple(f"AWS::EC2::{one}" for one in ("InternetGateway", "NatGateway", "EIP", "EgressOnlyInternetGateway"))
_WAYS = tuple(f"AWS::EC2::{one}" for one in ("Route", "VPCPeeringConnection", "VPCEndpoint"))
#: Policies that a template takes from elsewhere, by property: what they mean for the holder.
_MANAGED = {"ManagedPolicyArns": "may also do what this policy allows", "PermissionsBoundary": "may do no more than"}
_ELSEWHERE = ("UserData", "Tags", "SecurityGroupIngress", "SecurityGroupEgress")
_LONGEST = 160


def summary(title: str, account: str, templates: Mapping[str, Template]) -> str:
    """Return the page.

    Args:
        title: the first line: whose kit it is.
        account: the site's own account.
        templates: by stack name, in the order in which they are deployed.
    """
    templates = {name: _with_defaults(template) for name, template in templates.items()}
    exports = _exports(templates)
    every = [one for name, template in templates.items() for one in statements(name, template)]
    lines = [
        f"# {title}",
        "",
        "This page is written from the templates in this folder, and from nothing else.",
        "",
        *_glance(account, templates, every),
        "",
        "## Resources",
        "",
        *_resources(templates, exports),
        "## Permissions",
        "",
        *_permissions(every, exports),
        *_managed(templates, exports),
        "## Network",
        "",
        *_network(templates, exports),
        "",
        "## What costs money",
        "",
        *_costs(templates, exports),
        "",
        "Everything else is not billed by itself, as far as this page's author knew. Traffic out of AWS is.",
    ]
    return "\n".join(lines) + "\n"


def outsiders(account: str, every: list[Statement]) -> list[str]:
    """Return the accounts that any statement names as principal, other than the site's own; ``*`` is anybody.

    ``*`` counts where it is allowed something and no condition says who it is.
    """
    found: set[str] = set()
    for one in every:
        principal = one.document.get("Principal", one.document.get("NotPrincipal"))
        if principal is None or one.document["Effect"] != "Allow":
            continue
        found |= {number for number in _ACCOUNT.findall(json.dumps(principal)) if number != account}
        told = listed(principal["AWS"]) if isinstance(principal, dict) and "AWS" in principal else [principal]
        if "*" in told and not _names_who(one.document.get("Condition", {}), account):
            found.add("*")
    return sorted(found)


def _names_who(condition: Mapping[str, Any], account: str) -> bool:
    """Say whether a condition lets only principals of the own account in."""
    for operator, pairs in condition.items():
        for key, value in pairs.items():
            is_who = key in ("aws:PrincipalArn", "aws:PrincipalAccount", "aws:SourceAccount", "kms:CallerAccount")
            is_own = all(account in str(one) or one == {"Ref": "AWS::AccountId"} for one in listed(value))
            if is_who and is_own and operator in ("ArnEquals", "ArnLike", "StringEquals"):
                return True
    return False


def _with_defaults(template: Template) -> Template:
    """Return a template with the default of a parameter wherever that stands: it is what a first deployment takes."""
    defaults = {name: one["Default"] for name, one in template.get("Parameters", {}).items() if "Default" in one}

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            if len(value) == 1 and value.get("Ref") in defaults:
                return defaults[value["Ref"]]
            return {key: filled(inner) for key, inner in value.items()}
        return [filled(inner) for inner in value] if isinstance(value, list) else value

    return {**template, "Resources": filled(template["Resources"])}


def _exports(templates: Mapping[str, Template]) -> dict[str, str]:
    found = {}
    for name, template in templates.items():
        for output in template.get("Outputs", {}).values():
            if "Export" in output:
                found[str(output["Export"]["Name"])] = f"{name}/{text(output['Value'], {})}"
    return found


def _each(templates: Mapping[str, Template]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for stack, template in templates.items():
        for name, resource in template["Resources"].items():
            yield stack, name, resource


def _glance(account: str, templates: Mapping[str, Template], every: list[Statement]) -> Iterator[str]:
    resources = list(_each(templates))
    yield f"- {len(templates)} stacks with {len(resources)} resources and {len(every)} statements of permission."
    foreign = outsiders(account, every)
    yield f"- Accounts other than {account} that are given any permission: {', '.join(foreign) or 'none'}."
    for direction, doing in (("Ingress", "admits"), ("Egress", "may reach")):
        found = sorted({one for _, _, resource in resources for one in addresses(resource, direction)})
        yield f"- Addresses that a security group {doing}: {', '.join(found) or 'none'}."
    open_ = [f"{stack}/{name}" for stack, name, resource in resources if resource["Type"] in _OPENINGS]
    public = [
        f"{stack}/{name}"
        for stack, name, resource in resources
        if any(f'"{key}": true' in json.dumps(resource) for key in ("MapPublicIpOnLaunch", "AssociatePublicIpAddress"))
    ]
    yield f"- Ways to the internet and public addresses: {', '.join([*open_, *public]) or 'none'}."
    peers = [text(one["Properties"].get("PeerOwnerId", "?"), {}) for _, _, one in resources if _is(one, "Peering")]
    yield f"- Accounts that the network is peered with: {', '.join(sorted(set(peers))) or 'none'}."
    kept = [f"{stack}/{name}" for stack, name, resource in resources if "Retain" in resource.get("DeletionPolicy", "")]
    yield f"- Stays when the stacks are deleted: {', '.join(kept) or 'nothing'}."


def _is(resource: Mapping[str, Any], word: str) -> bool:
    return word in resource["Type"].rpartition("::")[2]


def _resources(templates: Mapping[str, Template], exports: Mapping[str, str]) -> Iterator[str]:
    for stack, template in templates.items():
        yield f"### {stack}"
        yield ""
        yield f"{template.get('Description', '')}."
        yield ""
        yield "| name | type | as |"
        yield "|---|---|---|"
        for name, resource in template["Resources"].items():
            yield f"| `{name}` | {resource['Type'].removeprefix('AWS::')} | {_plainly(resource, exports)} |"
        yield ""


def _plainly(resource: Mapping[str, Any], exports: Mapping[str, str]) -> str:
    """Return the properties of a resource; policies, rules of groups, tags and user data have their own place."""
    found = []
    for key, value in resource.get("Properties", {}).items():
        is_elsewhere = key in _ELSEWHERE or '"Statement"' in json.dumps(value)
        if not is_elsewhere:
            said = text(value, exports).replace("|", "\\|").replace("\n", " ")
            found.append(f"{key} `{said if len(said) <= _LONGEST else said[:_LONGEST] + '…'}`")
    return ", ".join(found) or "–"


def _permissions(every: list[Statement], exports: Mapping[str, str]) -> Iterator[str]:
    by_place: dict[tuple[str, str], list[Statement]] = {}
    for one in every:
        by_place.setdefault((one.holder, one.where), []).append(one)
    for (holder, where), found in by_place.items():
        yield f"### {holder}: {_heading(where, found)}"
        yield ""
        for one in found:
            yield f"- {in_words(one, exports)}"
        yield ""


def _managed(templates: Mapping[str, Template], exports: Mapping[str, str]) -> Iterator[str]:
    """Name the policies that a template takes from elsewhere: what they allow does not stand in it."""
    for stack, name, resource in _each(templates):
        properties = resource.get("Properties", {})
        for key, what in _MANAGED.items():
            for arn in listed(properties.get(key, [])):
                yield f"- The holder of {stack}/{name} {what}: `{text(arn, exports)}`."
                yield ""


def _heading(where: str, found: list[Statement]) -> str:
    if where.startswith("AssumeRolePolicy"):
        return "who may take this role"
    has_who = any(principals(one.document, {}) for one in found)
    return f"who may do what with it ({where})" if has_who else f"what its holder may do ({where})"


def _network(templates: Mapping[str, Template], exports: Mapping[str, str]) -> Iterator[str]:
    yield "Rules of security groups; what no rule names is refused."
    yield ""
    for _, name, resource in _each(templates):
        for rule in rules(name, resource, exports):
            yield f"- {rule}"
    yield ""
    yield "Ways into and out of the network:"
    yield ""
    for _, name, resource in _each(templates):
        if resource["Type"] in (*_WAYS, *_OPENINGS):
            yield f"- `{name}` ({resource['Type'].removeprefix('AWS::EC2::')}): {_plainly(resource, exports)}"


def _costs(templates: Mapping[str, Template], exports: Mapping[str, str]) -> Iterator[str]:
    for stack, name, resource in _each(templates):
        kind, properties = resource["Type"], resource.get("Properties", {})
        if kind in _BILLED:
            what = text(properties.get("InstanceType", ""), exports)
            yield f"- `{stack}/{name}` {what or kind.removeprefix('AWS::')}: {_BILLED[kind]}"
            for device in properties.get("BlockDeviceMappings", []):
                size = device.get("Ebs", {}).get("VolumeSize")
                yield f"- its volume {device.get('DeviceName')} of {size} GiB: by GiB and month"
        elif kind == "AWS::EC2::VPCEndpoint" and properties.get("VpcEndpointType") == "Interface":
            yield f"- `{stack}/{name}` interface endpoint: by the hour and by GB"
