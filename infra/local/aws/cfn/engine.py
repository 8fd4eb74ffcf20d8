"""The engine: checks requests, keeps the stacks, and runs one operation per stack at a time on a thread of its own."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from infra.local.aws.cfn import plan as planning
from infra.local.aws.cfn.change_sets import EARLY_VALIDATION, NO_CHANGES, ChangeSet, kind_of
from infra.local.aws.cfn.deletion import Remover
from infra.local.aws.cfn.errors import CloudFormationError, ResourceFailure
from infra.local.aws.cfn.functions import Resolver
from infra.local.aws.cfn.graph import creation_order
from infra.local.aws.cfn.operation import Operation, Request
from infra.local.aws.cfn.parameters import resolve
from infra.local.aws.cfn.stack import Output, Stack, Stacks, now
from infra.local.aws.cfn.template import ResourceDefinition, Template, parse
from infra.local.aws.cfn.world import StackWorld
from infra.local.aws.resources.base import Call, Clients, Handler

_BUCKET_IN_PATH = re.compile(r"https?://(?:s3[.-][^/]*|127\.0\.0\.1:\d+|localhost:\d+)/([^/?]+)/([^?]+)")
_BUCKET_IN_HOST = re.compile(r"https?://([^./]+)\.s3[^/]*/([^?]+)")


class Engine:
    """CloudFormation for every account and Region.

    Args:
        handlers: the resource types by name.
        clients: the emulated services, as each account's administrator.
        patience: seconds for which a call that starts an operation waits for its end before it answers. An operation
            here takes a moment, and a client that asks at once would otherwise wait for its own polling interval.
    """

    def __init__(self, handlers: Mapping[str, Handler], clients: Clients, *, patience: float = 20.0) -> None:
        self.stacks = Stacks()
        self._handlers = handlers
        self._clients = clients
        self._patience = patience
        self._door = threading.Lock()

    # What callers of the API ask for

    def create_change_set(self, account: str, region: str, request: Mapping[str, Any]) -> ChangeSet:
        """Plan the creation or update of a stack."""
        with self._door:
            stack = self._existing(account, region, request["StackName"])
            if stack is None and request.get("ChangeSetType") != "CREATE":
                raise CloudFormationError(f"Stack [{request['StackName']}] does not exist")
            kind = kind_of(request.get("ChangeSetType"), stack)
            new = stack is None
            stack = stack or Stack(account, region, request["StackName"])
            if request["ChangeSetName"] in stack.change_sets:
                raise CloudFormationError(
                    f"ChangeSet {request['ChangeSetName']} already exists",
                    code="AlreadyExistsException",
                )
            wanted = self._request(stack, request, creating=kind == "CREATE")
            change_set = ChangeSet(
                stack=stack,
                name=request["ChangeSetName"],
                kind=kind,
                request=wanted,
                capabilities=tuple(request.get("Capabilities", ())),
                description=request.get("Description"),
                on_failure=request.get("OnStackFailure"),
            )
            self._plan(change_set, importing=bool(request.get("ImportExistingResources")))
            if new:
                self.stacks.add(stack)
                stack.move("REVIEW_IN_PROGRESS", "User Initiated")
            stack.change_sets[change_set.name] = change_set
            return change_set

    def execute_change_set(self, change_set: ChangeSet, *, disable_rollback: bool = False) -> None:
        """Carry a change set out."""
        stack = change_set.stack
        with self._door:
            if change_set.execution != "AVAILABLE":
                raise CloudFormationError(
                    f"ChangeSet [{change_set.id}] cannot be executed in its current status of [{change_set.status}]",
                    code="InvalidChangeSetStatus",
                )
            self._begin(stack, change_set.kind)
            change_set.execution = "EXECUTE_IN_PROGRESS"
            stack.change_sets.clear()
            stack.capabilities = change_set.capabilities
            stack.disable_rollback = disable_rollback or change_set.on_failure == "DO_NOTHING"
        self._run(lambda: self._operate(stack, change_set.request, change_set.on_failure))

    def create_stack(self, account: str, region: str, request: Mapping[str, Any]) -> Stack:
        """Create a stack without a change set."""
        with self._door:
            if self._existing(account, region, request["StackName"]) is not None:
                raise CloudFormationError(
                    f"Stack [{request['StackName']}] already exists", code="AlreadyExistsException"
                )
            stack = Stack(account, region, request["StackName"])
            wanted = self._request(stack, request, creating=True)
            stack.protected = bool(request.get("EnableTerminationProtection"))
            stack.capabilities = tuple(request.get("Capabilities", ()))
            on_failure = request.get("OnFailure")
            stack.disable_rollback = bool(request.get("DisableRollback")) or on_failure == "DO_NOTHING"
            self.stacks.add(stack)
            stack.status = "CREATE_IN_PROGRESS"
        self._run(lambda: self._operate(stack, wanted, on_failure))
        return stack

    def update_stack(self, account: str, region: str, request: Mapping[str, Any]) -> Stack:
        """Update a stack without a change set."""
        with self._door:
            stack = self.stacks.find(account, region, request["StackName"])
            kind_of("UPDATE", stack)
            wanted = self._request(stack, request, creating=False)
            changes = self._changes(stack, wanted)
            if not changes and not self._outputs_differ(stack, wanted.template):
                raise CloudFormationError("No updates are to be performed.")
            self._begin(stack, "UPDATE")
            stack.capabilities = tuple(request.get("Capabilities", ()))
            stack.disable_rollback = bool(request.get("DisableRollback"))
        self._run(lambda: self._operate(stack, wanted, None))
        return stack

    def delete_stack(self, stack: Stack, *, retain: tuple[str, ...] = ()) -> None:
        """Delete a stack, unless it is protected.

        An export in use leaves the stack as it is and says so in its status reason.
        Source: aws/aws-cdk issue 604, which quotes the answer of ListStacks.
        """
        with self._door:
            if stack.status == "DELETE_COMPLETE":
                return
            if stack.protected:
                raise CloudFormationError(
                    f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
                )
            if stack.in_progress:
                raise CloudFormationError(f"Stack [{stack.id}] is in {stack.status} state and can not be deleted.")
            if retain and stack.status != "DELETE_FAILED":
                raise CloudFormationError("Invalid operation on stack: RetainResources needs a stack in DELETE_FAILED")
            for output in stack.outputs:
                users = self.stacks.importers(stack, output.export) if output.export else ()
                if users:
                    reason = f"Export {output.export} cannot be deleted as it is in use by {_and(users)}"
                    stack.move(stack.status, reason)
                    return
            stack.move("DELETE_IN_PROGRESS", "User Initiated")
        self._run(lambda: self._delete(stack, retain))

    def find_change_set(self, account: str, region: str, request: Mapping[str, Any]) -> ChangeSet:
        """Return a change set by its id, or by name and stack."""
        wanted = request["ChangeSetName"]
        for stack in self.stacks.live(account, region):
            if request.get("StackName", stack.name) not in (stack.name, stack.id):
                continue
            for change_set in stack.change_sets.values():
                if wanted in (change_set.name, change_set.id):
                    found: ChangeSet = change_set
                    return found
        raise CloudFormationError(f"ChangeSet [{wanted}] does not exist", code="ChangeSetNotFound", status=404)

    def parse_request(self, account: str, region: str, request: Mapping[str, Any]) -> Template:
        """Parse the template that a request carries or points to."""
        template = parse(self._body(account, region, request, None))
        planning.check_types(template, self._handlers)
        return template

    # Helpers

    def _existing(self, account: str, region: str, name: str) -> Stack | None:
        try:
            return self.stacks.find(account, region, name)
        except CloudFormationError:
            return None

    def _begin(self, stack: Stack, kind: str) -> None:
        if stack.in_progress:
            raise CloudFormationError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        stack.status = f"{kind}_IN_PROGRESS"

    def _body(self, account: str, region: str, request: Mapping[str, Any], stack: Stack | None) -> str:
        if request.get("TemplateBody"):
            return str(request["TemplateBody"])
        if request.get("UsePreviousTemplate") and stack is not None and stack.template is not None:
            return stack.template.body
        url = str(request.get("TemplateURL", ""))
        where = _BUCKET_IN_PATH.match(url) or _BUCKET_IN_HOST.match(url)
        if where is None:
            raise CloudFormationError("Either Template URL or Template Body must be specified.")
        s3 = self._clients.client("s3", account, region)
        content: bytes = s3.get_object(Bucket=where[1], Key=where[2])["Body"].read()
        return content.decode()

    def _request(self, stack: Stack, request: Mapping[str, Any], *, creating: bool) -> Request:
        template = parse(self._body(stack.account, stack.region, request, stack))
        planning.check_types(template, self._handlers)
        creation_order(template.resources)
        planning.check_references(template)
        planning.check_capabilities(template, self._handlers, tuple(request.get("Capabilities", ())))
        store = self._clients.client("ssm", stack.account, stack.region)

        def read(name: str) -> str:
            try:
                return str(store.get_parameter(Name=name)["Parameter"]["Value"])
            except store.exceptions.ParameterNotFound as error:
                raise KeyError(name) from error

        parameters = resolve(template.parameters, request.get("Parameters", []), stack.parameters, read)
        tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]} if "Tags" in request else dict(stack.tags)
        wanted = Request(template, parameters, tags, creating, bool(request.get("DisableRollback")))
        self._resolver(stack, wanted, frozenset()).check_rules()
        return wanted

    def _resolver(self, stack: Stack, wanted: Request, hidden: frozenset[str]) -> Resolver:
        world = StackWorld(stack, self.stacks, self._clients, hidden)
        return Resolver(wanted.template, wanted.parameters, stack.place, world)

    def _changes(self, stack: Stack, wanted: Request, *, importing: bool = False) -> tuple[planning.Change, ...]:
        def find(definition: ResourceDefinition, name: str) -> str | None:
            found = self._handlers[definition.type].find(self._call(stack, definition.logical_id), name)
            if found is not None:
                self._refuse_import_from_stack(stack, definition.type, found.physical_id)
            return found.physical_id if found else None

        return planning.plan(
            wanted.template,
            stack.resources,
            self._handlers,
            wanted.tags,
            lambda hidden: self._resolver(stack, wanted, hidden),
            *((find,) if importing else ()),
        )

    def _refuse_import_from_stack(self, stack: Stack, kind: str, physical_id: str) -> None:
        for other in self.stacks.live(stack.account, stack.region):
            if any((held.type, held.physical_id) == (kind, physical_id) for held in other.resources.values()):
                raise CloudFormationError(f"Resource {physical_id} already belongs to stack {other.name}")

    def _plan(self, change_set: ChangeSet, *, importing: bool = False) -> None:
        stack, wanted = change_set.stack, change_set.request
        change_set.invalid = planning.invalid_properties(wanted.template, self._handlers)
        if change_set.invalid:
            change_set.fail(EARLY_VALIDATION)
            return
        try:
            change_set.changes = self._changes(stack, wanted, importing=importing)
        except (CloudFormationError, ResourceFailure) as error:
            change_set.fail(str(error))
            return
        imports = frozenset(change.logical_id for change in change_set.changes if change.action == "Import")
        change_set.request = replace(wanted, imports=imports)
        if change_set.kind == "UPDATE" and not change_set.changes and not self._outputs_differ(stack, wanted.template):
            change_set.fail(NO_CHANGES)

    def _outputs_differ(self, stack: Stack, template: Template) -> bool:
        return stack.template is None or dict(stack.template.outputs) != dict(template.outputs)

    def _check_exports(self, stack: Stack, outputs: tuple[Output, ...]) -> None:
        new = {output.export: output.value for output in outputs if output.export}
        for name, (_, owner) in self.stacks.exports(stack.account, stack.region).items():
            if owner is not stack and name in new:
                raise CloudFormationError(f"Export with name {name} is already exported by stack {owner.name}. ")
        for output in stack.outputs:
            users = self.stacks.importers(stack, output.export) if output.export else ()
            if users and output.export not in new:
                raise CloudFormationError(f"Export {output.export} cannot be deleted as it is in use by {_and(users)}")
            if users and output.export and new[output.export] != output.value:
                raise CloudFormationError(f"Cannot update export {output.export} as it is in use by {_and(users)}")

    def _call(self, stack: Stack, logical_id: str) -> Call:
        return Call(stack.place, logical_id, self._clients)

    def _operate(self, stack: Stack, wanted: Request, on_failure: str | None) -> None:
        wanted = replace(wanted, disable_rollback=stack.disable_rollback)
        Operation(
            stack,
            wanted,
            self._handlers,
            self._call,
            lambda of: StackWorld(of, self.stacks, self._clients),
            self._check_exports,
        ).run()
        if stack.status == "ROLLBACK_COMPLETE" and on_failure == "DELETE":
            self._delete(stack, ())

    def _delete(self, stack: Stack, retain: tuple[str, ...]) -> None:
        remover = Remover(self._handlers, self._call)
        for name in retain:
            if name in stack.resources:
                remover.remove(stack, stack.resources.pop(name), "Retain")
        failed = remover.remove_all(stack, list(stack.resources))
        failed += tuple(old.logical_id for old in stack.leftovers if not remover.remove(stack, old, old.replace_policy))
        if failed:
            stack.move("DELETE_FAILED", f"The following resource(s) failed to delete: [{', '.join(failed)}]. ")
            return
        stack.leftovers, stack.imports, stack.deleted = [], frozenset(), now()
        stack.move("DELETE_COMPLETE")

    def _run(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(self._patience)


def _and(names: tuple[str, ...]) -> str:
    return " and ".join(names)
