"""The values that one account makes and another needs, looked up where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.accounts import Accounts
from infra.deployment.condition import StackFailed, Stacks
from infra.deployment.elsewhere import given_before
from stacks.plan import DeploymentPlan, ManagedPrefixList, Source, StackPlan


def resolve(
    plan: DeploymentPlan,
    stacks: Sequence[StackPlan],
    accounts: Accounts,
    given: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the values of all parameters of some stacks, by ``<stack name>:<parameter>``.

    Args:
        plan: the federation's.
        stacks: which.
        accounts: where outputs are looked up.
        given: values that are known already, as a hand-over file tells them; they are not looked up.

    Raises:
        StackFailed: a stack that has a value is not deployed, or has no such output.
    """
    by_id = {stack.id: stack for stack in plan.stacks}
    known = given or {}
    return {
        key: known[key] if key in known else _value(name, source, stack, by_id, accounts)
        for stack in stacks
        for name, source in stack.parameters.items()
        for key in [f"{stack.name}:{name}"]
    }


def _value(name: str, source: Source, stack: StackPlan, by_id: Mapping[str, StackPlan], accounts: Accounts) -> str:
    if isinstance(source, ManagedPrefixList):
        return _prefix_list(source, stack, accounts)
    maker = by_id[source.stack]
    if not maker.is_operated_here:
        return _given_before(name, stack, maker, accounts)
    value = Stacks(accounts).outputs(maker).get(source.output)
    if value is None:
        remedy = f"Deploy {maker.name} first: federate deploy --only {maker.node}."
        raise StackFailed(stack, f"needs the output {source.output} of {maker.name}, which has none.", remedy=remedy)
    return value


def _given_before(name: str, stack: StackPlan, maker: StackPlan, accounts: Accounts) -> str:
    """Return what the stack was given when the site handed it over: the maker's account is not ours to ask."""
    value = given_before(stack, accounts).get(name)
    if value is None:
        raise StackFailed(
            stack,
            f"needs {name} of {maker.node}, whose account its own admin operates.",
            remedy=f"Take over what the admin hands over: federate join FILE (first: federate export {maker.node}).",
        )
    return value


def _prefix_list(source: ManagedPrefixList, stack: StackPlan, accounts: Accounts) -> str:
    name = f"com.amazonaws.{stack.region}.{source.service}"
    ec2 = accounts.client("ec2", profile=stack.profile, region=stack.region)
    found = ec2.describe_managed_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": [name]}])["PrefixLists"]
    if not found:
        remedy = "Is the Region's name right, and enabled in this account?"
        raise StackFailed(stack, f"needs the managed prefix list {name}, and there is none.", remedy=remedy)
    return str(found[0]["PrefixListId"])
