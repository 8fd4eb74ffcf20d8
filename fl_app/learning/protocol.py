"""What an aggregation plug-in is: one method that it must have, and those that it may have.

``aggregate`` is all that a plug-in needs. The others are asked for with :func:`ask`, and one that is not there means
what its line says:

========== ============================================================= ===========================================
method     what it is for                                                without it
========== ============================================================= ===========================================
fold       updates are added as they arrive and are not kept             all updates of a round are kept
prepare    refuses a federation that is too small                        any number of sites will do
extra      tensors that travel both ways beside the weights              only weights travel
kept       what the aggregator must remember from round to round         nothing is remembered
restore    the same, given back after a restart                          nothing is given back
local      what a site does differently in its fit                       sites fit as with FedAvg
========== ============================================================= ===========================================

The aggregator and every site make an object of their own; a site asks its own for ``extra`` and ``local`` only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from fl_app.errors import FlAppError, PluginError
from fl_app.plugins import Update

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fl_app.config import Training
    from fl_app.learning.folding import Fold

    State = OrderedDict[str, Tensor]

#: What the name of an extra tensor begins with. No tensor of a module is called so: torch lets no part of a name, which
#: stands between dots, be empty.
EXTRA = "extra.."


class Aggregation(Protocol):
    """Combines the sites' updates into the next global model; see the module for what it may have besides."""

    def aggregate(self, global_state: State, updates: Sequence[Update]) -> State:
        """Return the next global state: the weights, and the extra tensors if there are any.

        Args:
            global_state: the one that the sites were given.
            updates: what they sent, in the roster's order. None of the arguments may be changed.
        """


class LocalRule(Protocol):
    """What a site does differently in a fit: made by an aggregation's ``local(training)`` and used for all its fits."""

    def begin(self, model: nn.Module, global_state: State, local_state: State | None) -> None:
        """Get ready for a fit.

        Args:
            model: it has the global weights already.
            global_state: weights and extra tensors, on the CPU; not to be changed, nor kept beyond the fit.
            local_state: what :meth:`end` returned in the site's fit before; None in its first.
        """

    def after_backward(self) -> None:
        """Change the gradients of a batch, before the optimizer's step."""

    def end(self) -> tuple[State, State | None]:
        """Return the extra tensors to send, and what the site's next fit is to be given; both on the CPU."""


class FullAggregation(Aggregation, Protocol):
    """An aggregation with all that it may have. For reading; nobody needs to implement it whole."""

    def fold(self, global_state: Mapping[str, Tensor]) -> Fold:
        """Return what the updates of a round are added to; it takes nothing from the global state before ``finish``."""

    def prepare(self, sites: int, quorum: int) -> None:
        """Take note of the federation's size, before the first round and whenever sites join or leave.

        Args:
            sites: how many there are.
            quorum: the fewest updates with which a round may close.

        Raises:
            PluginError: it cannot work with so few.
        """

    def extra(self, form: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the names, shapes and types of the extra tensors; the names begin with :data:`EXTRA`.

        They are zeros in the first global state.

        Args:
            form: the model's, as meta tensors.
        """

    def kept(self) -> State:
        """Return copies of what must outlive the aggregator's process, on the CPU."""

    def restore(self, kept: State) -> None:
        """Go on from what :meth:`kept` returned: the rounds that follow are the same, bit for bit."""

    def local(self, training: Training) -> LocalRule:
        """Return what sites do differently.

        Raises:
            PluginError: it does not work with these settings.
        """


def ask(aggregation: Aggregation | LocalRule, method: str, *arguments: Any) -> Any:
    """Call a method that an aggregation, or what it does at a site, may have; return None if it has not.

    Raises:
        PluginError: the method raised it, or something that is not a :class:`FlAppError`.
    """
    found = getattr(aggregation, method, None)
    if found is None:
        return None
    try:
        return found(*arguments)
    except FlAppError:
        raise
    except Exception as error:  # whatever a third party's aggregation does
        name = type(aggregation).__name__
        raise PluginError(f"The aggregation {name} failed in {method}: {type(error).__name__}: {error}.") from error
