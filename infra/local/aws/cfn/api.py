"""The actions of the CloudFormation API that are implemented; any other is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from infra.local.aws.cfn import views
from infra.local.aws.cfn.engine import Engine
from infra.local.aws.cfn.errors import CloudFormationError
from infra.local.aws.cfn.stack import Stack, Stacks

Arguments = Mapping[str, Any]
Answer = dict[str, Any]


class Api:
    """Dispatches actions for a caller's account and Region."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def call(self, action: str, account: str, region: str, arguments: Arguments) -> Answer:
        """Answer one action.

        Raises:
            CloudFormationError: the request is refused, or the action is not implemented.
        """
        handler = _ACTIONS.get(action)
        if handler is None:
            raise CloudFormationError(
                f"{action} is not implemented on loopback AWS (implemented: {', '.join(sorted(_ACTIONS))})",
                code="NotImplemented",
                status=501,
            )
        return handler(_Caller(self._engine, account, region), arguments)


class _Caller:
    def __init__(self, engine: Engine, account: str, region: str) -> None:
        self.engine, self.account, self.region = engine, account, region

    @property
    def stacks(self) -> Stacks:
        return self.engine.stacks

    def find(self, arguments: Arguments) -> Stack:
        return self.stacks.find(self.account, self.region, arguments["StackName"])


def _create_change_set(caller: _Caller, arguments: Arguments) -> Answer:
    change_set = caller.engine.create_change_set(caller.account, caller.region, arguments)
    return {"Id": change_set.id, "StackId": change_set.stack.id}


def _describe_change_set(caller: _Caller, arguments: Arguments) -> Answer:
    change_set = caller.engine.find_change_set(caller.account, caller.region, arguments)
    return views.change_set(change_set, with_values=bool(arguments.get("IncludePropertyValues")))


def _execute_change_set(caller: _Caller, arguments: Arguments) -> Answer:
    change_set = caller.engine.find_change_set(caller.account, caller.region, arguments)
    caller.engine.execute_change_set(change_set, disable_rollback=bool(arguments.get("DisableRollback")))
    return {}


def _delete_change_set(caller: _Caller, arguments: Arguments) -> Answer:
    try:
        change_set = caller.engine.find_change_set(caller.account, caller.region, arguments)
    except CloudFormationError:
        return {}
    del change_set.stack.change_sets[change_set.name]
    return {}


def _list_change_sets(caller: _Caller, arguments: Arguments) -> Answer:
    described = (views.change_set(item, with_values=False) for item in caller.find(arguments).change_sets.values())
    return {"Summaries": list(described)}


def _describe_events(caller: _Caller, arguments: Arguments) -> Answer:
    if "ChangeSetName" in arguments:
        change_set = caller.engine.find_change_set(caller.account, caller.region, arguments)
        return {"OperationEvents": views.validation_events(change_set)}
    stack = caller.find(arguments)
    only_failed = arguments.get("Filters", {}).get("FailedEvents")
    events = [item for item in reversed(stack.events) if not only_failed or item.status.endswith("_FAILED")]
    return {"OperationEvents": [{**views.event(item, stack), "EventType": "STACK_EVENT"} for item in events]}


def _describe_account_limits(_: _Caller, __: Arguments) -> Answer:
    """Tell AWS's defaults; they are not enforced. Source: "AWS CloudFormation quotas", CloudFormation User Guide."""
    limits = {"StackLimit": 2000, "StackOutputsLimit": 200, "ConcurrentResourcesLimitInAccount": 2500}
    return {"AccountLimits": [{"Name": name, "Value": value} for name, value in limits.items()]}


def _delete_stack(caller: _Caller, arguments: Arguments) -> Answer:
    try:
        stack = caller.find(arguments)
    except CloudFormationError:
        return {}
    caller.engine.delete_stack(stack, retain=tuple(arguments.get("RetainResources", ())))
    return {}


def _describe_stacks(caller: _Caller, arguments: Arguments) -> Answer:
    if "StackName" in arguments:
        return {"Stacks": [views.stack(caller.find(arguments))]}
    return {"Stacks": [views.stack(stack) for stack in caller.stacks.live(caller.account, caller.region)]}


def _list_stacks(caller: _Caller, arguments: Arguments) -> Answer:
    wanted = arguments.get("StackStatusFilter")
    found = caller.stacks.all(caller.account, caller.region)
    return {"StackSummaries": [views.summary(stack) for stack in found if not wanted or stack.status in wanted]}


def _describe_stack_events(caller: _Caller, arguments: Arguments) -> Answer:
    stack = caller.find(arguments)
    return {"StackEvents": [views.event(event, stack) for event in reversed(stack.events)]}


def _resources(caller: _Caller, arguments: Arguments) -> list[Answer]:
    stack = caller.find(arguments)
    wanted = arguments.get("LogicalResourceId")
    found = [views.resource(item, stack) for item in stack.resources.values() if wanted in (None, item.logical_id)]
    if wanted is not None and not found:
        raise CloudFormationError(f"Resource {wanted} does not exist for stack {stack.name}")
    return found


def _get_template(caller: _Caller, arguments: Arguments) -> Answer:
    if "ChangeSetName" in arguments:
        body = caller.engine.find_change_set(caller.account, caller.region, arguments).request.template.body
    else:
        stack = caller.find(arguments)
        body = stack.template.body if stack.template else "{}"
    return {"TemplateBody": body, "StagesAvailable": ["Original", "Processed"]}


def _get_template_summary(caller: _Caller, arguments: Arguments) -> Answer:
    if "StackName" in arguments:
        stack = caller.find(arguments)
        if stack.template is None:
            raise CloudFormationError(f"Stack {stack.name} has no template yet")
        return views.template_summary(stack.template)
    return views.template_summary(caller.engine.parse_request(caller.account, caller.region, arguments))


def _list_exports(caller: _Caller, _: Arguments) -> Answer:
    exports = caller.stacks.exports(caller.account, caller.region)
    listed = ({"ExportingStackId": stack.id, "Name": k, "Value": value} for k, (value, stack) in exports.items())
    return {"Exports": list(listed)}


def _list_imports(caller: _Caller, arguments: Arguments) -> Answer:
    name = arguments["ExportName"]
    exports = caller.stacks.exports(caller.account, caller.region)
    users = caller.stacks.importers(exports[name][1], name) if name in exports else ()
    if not users:
        raise CloudFormationError(f"Export '{name}' is not imported by any stack.")
    return {"Imports": list(users)}


def _update_termination_protection(caller: _Caller, arguments: Arguments) -> Answer:
    stack = caller.find(arguments)
    stack.protected = bool(arguments["EnableTerminationProtection"])
    return {"StackId": stack.id}


_ACTIONS: dict[str, Callable[[_Caller, Arguments], Answer]] = {
    "CreateChangeSet": _create_change_set,
    "DescribeChangeSet": _describe_change_set,
    "ExecuteChangeSet": _execute_change_set,
    "DeleteChangeSet": _delete_change_set,
    "ListChangeSets": _list_change_sets,
    "CreateStack": lambda caller, arguments: {
        "StackId": caller.engine.create_stack(caller.account, caller.region, arguments).id
    },
    "UpdateStack": lambda caller, arguments: {
        "StackId": caller.engine.update_stack(caller.account, caller.region, arguments).id
    },
    "DeleteStack": _delete_stack,
    "DescribeAccountLimits": _describe_account_limits,
    "DescribeEvents": _describe_events,
    "DescribeStacks": _describe_stacks,
    "ListStacks": _list_stacks,
    "DescribeStackEvents": _describe_stack_events,
    "DescribeStackResources": lambda caller, arguments: {"StackResources": _resources(caller, arguments)},
    "DescribeStackResource": lambda caller, arguments: {"StackResourceDetail": _resources(caller, arguments)[0]},
    "ListStackResources": lambda caller, arguments: {"StackResourceSummaries": _resources(caller, arguments)},
    "GetTemplate": _get_template,
    "GetTemplateSummary": _get_template_summary,
    "ValidateTemplate": _get_template_summary,
    "ListExports": _list_exports,
    "ListImports": _list_imports,
    "UpdateTerminationProtection": _update_termination_protection,
}
