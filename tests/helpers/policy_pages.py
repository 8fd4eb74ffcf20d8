"""The generated parts of docs/policies.md and docs/permissions.md: run it to write them anew.

python tests/helpers/policy_pages.py
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "policies"), str(Path(__file__).parent)]

from policy_table import acknowledgements  # noqa: E402
from variants import example  # noqa: E402

from infra.federation.derive import Node, nodes  # noqa: E402
from infra.federation.model import Federation  # noqa: E402
from stacks.operators import PURPOSES, ROLES, document, roles_in  # noqa: E402

DOCS = Path(__file__).parents[2] / "docs"
#: Page → the name of the generated part, and what makes it.
_PART = re.compile(r"(<!-- generated: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def people() -> str:
    """Return who among people may do what, in Markdown: one table a role."""
    federation = Federation.model_validate(example())
    hub, site, *_ = nodes(federation)
    where = {role: site if role in roles_in(site) else hub for role in ROLES}
    return "\n\n".join(
        f"### {role}\n\nIt {PURPOSES[role]}.\n\n{_table(federation, where[role], role)}" for role in ROLES
    )


def _table(federation: Federation, node: Node, role: str) -> str:
    rows = ["| statement | may | on | if |", "|---|---|---|---|"]
    for statement in document(federation, node, role)["Statement"]:  # type: ignore[arg-type]
        services = {action.split(":")[0] for action in statement["Action"]}
        conditions = [
            f"`{key}` = {', '.join(value) if isinstance(value, list) else value}"
            for keys in statement.get("Condition", {}).values()
            for key, value in keys.items()
        ]
        resources = "<br>".join(f"`{arn}`" for arn in statement["Resource"])
        names = [action.split(":")[1] if len(services) == 1 else action for action in statement["Action"]]
        may = f"{services.pop()}: {', '.join(names)}" if len(services) == 1 else ", ".join(names)
        never = "" if statement["Effect"] == "Allow" else "never "
        rows.append(f"| {statement['Sid']} | {never}{may} | {resources} | {'; '.join(conditions)} |")
    return "\n".join(rows)


PARTS = {"acknowledgements": acknowledgements, "people": people}


def current(page: str) -> str:
    """Return a page's text with its generated parts made anew."""
    return _PART.sub(lambda match: f"{match[1]}\n{PARTS[match[2]]()}\n\n{match[4]}", page)


if __name__ == "__main__":
    for name in ("policies.md", "permissions.md"):
        path = DOCS / name
        path.write_text(current(path.read_text("utf-8")), "utf-8")
