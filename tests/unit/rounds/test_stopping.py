"""Early stopping: which way is better, and when patience is over."""

from __future__ import annotations

from fl_app.rounds.stopping import Best, Patience, better, is_exhausted


def test_a_loss_gets_better_downwards_and_an_auroc_upwards() -> None:
    assert better(Patience("test_loss", 3), Best(0.5, 0), 0.4, 1) == Best(0.4, 1)
    assert better(Patience("test_loss", 3), Best(0.5, 0), 0.6, 1) == Best(0.5, 0)
    assert better(Patience("auroc", 3), Best(0.5, 0), 0.6, 1) == Best(0.6, 1)
    assert better(Patience("auroc", 3), Best(0.5, 0), 0.4, 1) == Best(0.5, 0)


def test_less_than_min_delta_is_no_improvement() -> None:
    patience = Patience("auroc", 3, min_delta=0.01)
    assert better(patience, Best(0.700, 0), 0.709, 1) == Best(0.700, 0)
    assert better(patience, Best(0.700, 0), 0.711, 1) == Best(0.711, 1)


def test_a_round_without_the_metric_changes_nothing() -> None:
    assert better(Patience("auroc", 3), None, None, 0) is None
    assert better(Patience("auroc", 3), Best(0.7, 2), None, 3) == Best(0.7, 2)


def test_patience_is_over_after_so_many_rounds_without_improvement() -> None:
    patience = Patience("auroc", 3)
    assert [is_exhausted(patience, Best(0.7, 4), round_) for round_ in (4, 5, 6, 7)] == [False, False, False, True]
    assert not is_exhausted(patience, None, 99)
