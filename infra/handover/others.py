"""The proof that a site comes or goes without a byte changing in any other site's templates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infra.deployment.assembly import Assembly
from infra.deployment.groups import linked_site
from infra.errors import FederateError
from infra.federation.derive import AGGREGATOR_ID


class OthersTouched(FederateError):
    """A change that is about one site would change another's templates."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Stacks by what becomes of their templates: ids, sorted."""

    same: tuple[str, ...]
    changed: tuple[str, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]

    def text(self) -> str:
        """Say it to a person."""
        lines = [f"Byte for byte the same: {', '.join(self.same) or 'none'}."]
        for what, found in (("Changed", self.changed), ("New", self.new), ("Gone", self.gone)):
            if found:
                lines.append(f"{what}: {', '.join(found)}.")
        return "\n".join(lines)


def compare(before: Assembly, after: Assembly, site: str) -> Comparison:
    """Compare all templates of two assemblies; only the site's own, and the hub's, may differ.

    Args:
        before: without the change.
        after: with it.
        site: the site that comes or goes.

    Raises:
        OthersTouched: another site's template is another one, new or gone.
    """
    old, new = _templates(before), _templates(after)
    owner = _owners(before) | _owners(after)
    differing = sorted(id_ for id_ in {*old, *new} if old.get(id_) != new.get(id_))
    touched = [id_ for id_ in differing if owner[id_] not in (site, AGGREGATOR_ID)]
    if touched:
        raise OthersTouched(
            f"This would change other sites' stacks: {', '.join(touched)}. Nothing was written.",
            remedy=f"A change that is about {site} alone touches {site} and the hub. What else does the file change?",
        )
    return Comparison(
        same=tuple(sorted(id_ for id_ in old if old[id_] == new.get(id_))),
        changed=tuple(id_ for id_ in differing if id_ in old and id_ in new),
        new=tuple(id_ for id_ in differing if id_ not in old),
        gone=tuple(id_ for id_ in differing if id_ not in new),
    )


def _templates(assembly: Assembly) -> dict[str, bytes]:
    folder: Path = assembly.folder
    return {stack.id: (folder / f"{stack.id}.template.json").read_bytes() for stack in assembly.plan.stacks}


def _owners(assembly: Assembly) -> dict[str, str]:
    """Return whose each stack is: a link is on the hub's side, and its site's."""
    return {stack.id: linked_site(assembly.plan, stack) or stack.node for stack in assembly.plan.stacks}
