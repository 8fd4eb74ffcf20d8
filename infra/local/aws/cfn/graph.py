"""Which resource needs which: the order in which a template's resources are made, and deleted in reverse."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from infra.local.aws.cfn.errors import TemplateError
from infra.local.aws.cfn.template import ResourceDefinition

_PLACEHOLDER = re.compile(r"\$\{([^!}][^}]*)\}")


def references(value: Any) -> Iterator[str]:
    """Yield every name that a template value refers to with Ref, Fn::GetAtt or Fn::Sub; pseudo parameters too."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "Ref" and isinstance(item, str):
                yield item
            elif key == "Fn::GetAtt":
                yield (item.split(".", 1) if isinstance(item, str) else item)[0]
            elif key == "Fn::Sub":
                yield from _sub_references(item)
            else:
                yield from references(item)


def _sub_references(argument: Any) -> Iterator[str]:
    text, variables = (argument, {}) if isinstance(argument, str) else (argument[0], argument[1])
    for name in _PLACEHOLDER.findall(text):
        if name not in variables:
            yield name if name.startswith("AWS::") else name.split(".", 1)[0]
    yield from references(variables)


def dependencies(resource: ResourceDefinition, names: Collection[str]) -> set[str]:
    """Return the resources among ``names`` that must exist before this one."""
    return {name for name in references(resource.properties) if name in names} | {
        name for name in resource.depends_on if name in names
    }


def creation_order(resources: Mapping[str, ResourceDefinition]) -> tuple[str, ...]:
    """Sort resources so that each follows what it depends on; among equals the template's order stays.

    Raises:
        TemplateError: the resources depend on each other in a circle.
    """
    return in_order({name: dependencies(resource, resources) for name, resource in resources.items()})


def in_order(needs: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Sort names so that each follows those it needs; needs outside the mapping are ignored.

    Raises:
        TemplateError: the names need each other in a circle.
    """
    order: list[str] = []
    finished: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = path[path.index(name) :]
            raise TemplateError(f"Circular dependency between resources: [{', '.join(sorted(circle))}]")
        if name in finished:
            return
        for needed in sorted(needs[name]):
            if needed in needs:
                visit(needed, (*path, name))
        finished.add(name)
        order.append(name)

    for name in needs:
        visit(name, ())
    return tuple(order)


def needed_by(name: str, needs: Mapping[str, Collection[str]]) -> frozenset[str]:
    """Return everything that a name needs, directly or through others."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for needed in needs.get(waiting.pop(), ()):
            if needed not in found:
                found.add(needed)
                waiting.append(needed)
    return frozenset(found)
