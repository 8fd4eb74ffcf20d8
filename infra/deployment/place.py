"""Deploying, comparing and destroying a whole federation: what the commands call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from infra.accounts import Accounts, check_credentials
from infra.deployment.assembly import Assembly, synthesize
from infra.deployment.audit import Audit, audit, fully_chosen
from infra.deployment.board import COLUMNS, Board, row
from infra.deployment.cdk import CdkCommand
from infra.deployment.compare import Difference, compare
from infra.deployment.condition import Condition, Stacks
from infra.deployment.default_group import empty_default_groups
from infra.deployment.deploy import Deployment, NotDeployed
from infra.deployment.elsewhere import delete_peerings, ours, without_unjoined
from infra.deployment.elsewhere import in_words as in_words_elsewhere
from infra.deployment.groups import chosen
from infra.deployment.instances import (
    Outdated,
    is_of_node,
    outdated,
    pipeline_stack,
    refuse_unless_deployed,
    refuse_without_image,
)
from infra.deployment.lock import alone
from infra.deployment.log_key import follow_keys
from infra.deployment.orphans import delete, in_words, links, orphans
from infra.deployment.side_by_side import Interrupted
from infra.deployment.teardown import NotDestroyed, Teardown, refuse_wrong_order
from infra.errors import FederateError
from infra.federation.derive import AGGREGATOR_ID, nodes
from infra.federation.model import Federation
from infra.nodes.remote import forget_all, forget_states, remotes
from infra.progress import LiveTable
from stacks.plan import StackPlan


@dataclass(frozen=True, slots=True)
class Place:
    """A federation, where its state is kept, and the accounts.

    Args:
        file: the federation's file.
        federation: what is in it.
        home: folder of the toolkit's local state.
        accounts: AWS's APIs.
    """

    file: Path
    federation: Federation
    home: Path
    accounts: Accounts

    def prepare(self, of: Sequence[str] = ()) -> Assembly:
        """Synthesise, and meanwhile make sure that every profile leads to its account.

        Args:
            of: the nodes whose profiles are used; all that are operated here if empty.

        Raises:
            WrongCredentials: with every profile that does not.
            SynthFailed: with what CDK says.
        """
        with ThreadPoolExecutor(1) as pool:
            assembly = pool.submit(synthesize, self.file, self.federation, home=self.home)
            used = [node for node in nodes(self.federation) if node.is_operated_here and (not of or node.id in of)]
            check_credentials(self.accounts, used)
            return assembly.result()

    def deploy(
        self, only: Sequence[str] = (), *, before: Callable[[Assembly], None] = lambda _: None
    ) -> tuple[StackPlan, ...]:
        """Deploy the federation, or the named nodes of it; return the stacks that are deployed now.

        Sites that their own admins operate are left to them; the links to those that have joined are the hub's.

        Args:
            only: ids of nodes; all if empty.
            before: called with what is about to be deployed, before anything is made; what it raises stops it.

        Raises:
            NotDeployed: with every stack that failed.
            Interrupted: Ctrl-C; with what is where.
        """
        with alone(self.home, self.federation.name, "deploy"):
            assembly = self.prepare()
            stacks, unjoined = without_unjoined(assembly.plan, ours(chosen(assembly.plan, only)), self.accounts)
            refuse_without_image(self.federation, stacks, self.accounts)
            before(assembly)
            cdk = self._cdk(assembly)
            left_over = orphans(assembly.plan, self.accounts)
            with self._interruptible(stacks), self._board("Deploying", stacks) as board:
                if left_over:
                    board.say(in_words(left_over))
                    delete(links(left_over), self.accounts)
                if unjoined:
                    board.say(in_words_elsewhere((), unjoined).strip())
                self._forget_what_nodes_before_said(stacks)
                try:
                    Deployment(assembly.plan, self.accounts, cdk, board).run(stacks)
                except NotDeployed:
                    with suppress(FederateError):  # the reason why stacks are missing is the one to tell
                        self._close_default_groups(stacks, board)
                    raise
                for group in follow_keys(self.federation.name, stacks, self.accounts):
                    board.say(f"The log group {group} was here before; what comes is encrypted by the new key.")
                self._close_default_groups(stacks, board)
            return stacks

    def link(self, site: str, values: Mapping[str, str]) -> StackPlan:
        """Link a site that its own admin operates, by what it has handed over; asks no account but the hub's.

        Args:
            site: the site's id.
            values: the link's parameters by their names.

        Raises:
            NotDeployed: the link failed.
        """
        return self._deploy_one(f"HubLink-{site}", "join", values)

    def update_hub(self) -> StackPlan:
        """Deploy the hub's network, and with it the roles that accept peerings: one for each site of the file.

        Raises:
            NotDeployed: it failed.
        """
        return self._deploy_one("HubNetwork", "update the hub", {})

    def _deploy_one(self, id_: str, doing: str, values: Mapping[str, str]) -> StackPlan:
        with alone(self.home, self.federation.name, doing):
            assembly = self.prepare([AGGREGATOR_ID])
            (stack,) = (one for one in assembly.plan.stacks if one.id == id_)
            given = {f"{stack.name}:{name}": value for name, value in values.items()}
            with self._interruptible([stack]), self._board("Deploying", [stack]) as board:
                Deployment(assembly.plan, self.accounts, self._cdk(assembly), board, given=given).run([stack])
            return stack

    def destroy(self, only: Sequence[str] = ()) -> Audit:
        """Delete the federation's stacks, or those of the named nodes, and audit the accounts that are empty then.

        Raises:
            WrongOrder: the hub is to go, and a site that is connected to it is not.
            NotDestroyed: with every stack that failed.
            Interrupted: Ctrl-C; with what is where.
        """
        with alone(self.home, self.federation.name, "destroy"):
            assembly = self.prepare()
            stacks = ours(chosen(assembly.plan, only))
            refuse_wrong_order(assembly.plan, stacks, self.accounts)
            cdk = self._cdk(assembly)
            left_over = orphans(assembly.plan, self.accounts)
            with self._interruptible(stacks), self._board("Destroying", stacks) as board:
                if left_over and any(stack.id == "HubNetwork" for stack in stacks):
                    board.say(in_words(left_over))
                    delete(links(left_over), self.accounts)
                if any(stack.id == "HubNetwork" for stack in stacks):
                    for account in delete_peerings(assembly.plan, self.accounts):
                        board.say(
                            f"The peering of account {account} is ended; what that account has, its admin deletes."
                        )
                try:
                    Teardown(assembly.plan, self.accounts, cdk, board).run(stacks)
                except NotDestroyed:
                    with suppress(FederateError):  # the reason why stacks are left is the one to tell
                        self._forget_nodes(stacks)
                    raise
            self._forget_nodes(stacks)
            return audit(assembly.plan, fully_chosen(assembly.plan, stacks), self.accounts)

    def replace(self, only: Sequence[str]) -> Assembly:
        """Make nodes anew, from the images that are pinned now; keys, checkpoints and what is wanted of them stay.

        Raises:
            NothingToReplace: a node's network is not deployed.
            NoImage: no image is pinned for a node.
            NotDestroyed: with every node whose stack could not be deleted.
            NotDeployed: with every node that could not be made again; the same command goes on from there.
            Interrupted: Ctrl-C; with what is where.
        """
        with alone(self.home, self.federation.name, "replace"):
            assembly = self.prepare()
            stacks = tuple(stack for stack in ours(chosen(assembly.plan, only)) if is_of_node(stack))
            refuse_unless_deployed(assembly.plan, stacks, self.accounts)
            refuse_without_image(self.federation, stacks, self.accounts, anew=True)
            cdk = self._cdk(assembly)
            with self._interruptible(stacks), self._board("Replacing nodes of", stacks) as board:
                Teardown(assembly.plan, self.accounts, cdk, board).run(stacks)
                forget_states(remotes(self.federation, self.accounts, [stack.node for stack in stacks]))
                Deployment(assembly.plan, self.accounts, cdk, board).run(stacks)
            return assembly

    def deploy_pipeline(self) -> StackPlan:
        """Deploy the stack that makes machine images; nothing else of the federation is touched.

        Raises:
            NoPipeline: the federation asks for none.
            NotDeployed: why not.
            Interrupted: Ctrl-C; with what is where.
        """
        with alone(self.home, self.federation.name, "image deploy"):
            assembly = self.prepare()
            stack = pipeline_stack(assembly.plan)
            cdk = self._cdk(assembly)
            with self._interruptible([stack]), self._board("Deploying the image pipeline of", [stack]) as board:
                Deployment(assembly.plan, self.accounts, cdk, board).run([stack])
            return stack

    def destroy_pipeline(self) -> StackPlan:
        """Delete the stack that makes machine images; images that it has made stay.

        Raises:
            NoPipeline: the federation asks for none.
            NotDestroyed: why not.
            Interrupted: Ctrl-C; with what is where.
        """
        with alone(self.home, self.federation.name, "image destroy"):
            assembly = self.prepare()
            stack = pipeline_stack(assembly.plan)
            cdk = self._cdk(assembly)
            with self._interruptible([stack]), self._board("Deleting the image pipeline of", [stack]) as board:
                Teardown(assembly.plan, self.accounts, cdk, board).run([stack])
            return stack

    def outdated(self, stacks: Sequence[StackPlan]) -> tuple[Outdated, ...]:
        """Return the deployed nodes that were made from another image than the one that is pinned for them now."""
        return outdated(self.federation, stacks, self.accounts)

    def diff(self, only: Sequence[str] = ()) -> list[Difference]:
        """Compare the federation, or the named nodes of it, with what is deployed."""
        assembly = self.prepare()
        return compare(ours(chosen(assembly.plan, only)), self._cdk(assembly))

    def _close_default_groups(self, stacks: Sequence[StackPlan], board: Board) -> None:
        for name in empty_default_groups(stacks, self.accounts):
            board.say(f"{name}: its VPC's default security group is emptied.")

    def _forget_what_nodes_before_said(self, stacks: Sequence[StackPlan]) -> None:
        """Delete the state that a node before left: who waits for the one that is made now would take it for its own.

        What was wanted of it, and its certificate, are for the next one as well.
        """
        gone = self._nodes_without(stacks, Condition.ABSENT, Condition.BROKEN)
        for remote in remotes(self.federation, self.accounts, gone) if gone else ():
            remote.forget_state()

    def _forget_nodes(self, stacks: Sequence[StackPlan]) -> None:
        """Delete what nodes that are gone have published, and what was wanted of them."""
        gone = self._nodes_without(stacks, Condition.ABSENT)
        if gone:
            forget_all(remotes(self.federation, self.accounts, gone))

    def _nodes_without(self, stacks: Sequence[StackPlan], *conditions: Condition) -> list[str]:
        """Return the nodes among these stacks whose own stack is in one of these conditions."""
        reader = Stacks(self.accounts)
        return [stack.node for stack in stacks if is_of_node(stack) and reader.condition(stack) in conditions]

    def _cdk(self, assembly: Assembly) -> CdkCommand:
        return CdkCommand(assembly.folder, self.home / "logs" / self.federation.name)

    def _board(self, doing: str, stacks: Sequence[StackPlan]) -> Board:
        table = LiveTable(
            f"{doing} {self.federation.name}",
            COLUMNS,
            rows=[row(stack) for stack in stacks],
            key_column="account       stack",
        )
        return Board(table, Stacks(self.accounts))

    @contextmanager
    def _interruptible(self, stacks: Sequence[StackPlan]) -> Iterator[None]:
        """Turn Ctrl-C into an error that says what is where."""
        try:
            yield
        except KeyboardInterrupt:
            reader = Stacks(self.accounts)
            lines = [f"  {stack.name}: {_standing(reader, stack)}" for stack in stacks]
            raise Interrupted(
                "\n".join(["Stopped. The stacks are now:", *lines]),
                remedy="What CloudFormation has begun it ends by itself. The same command goes on from there.",
            ) from None


def _standing(reader: Stacks, stack: StackPlan) -> str:
    """Return a stack's status in words; that it cannot be had must not hide that the user has stopped the command."""
    try:
        return reader.status(stack) or "not there"
    except (BotoCoreError, ClientError, FederateError) as error:
        return f"not known, its account does not answer: {str(error).splitlines()[0]}"
