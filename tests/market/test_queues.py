"""The queues of a level and the levels of a side, alone; `test_matching_model.py` holds what they make together."""

from market.queues import LevelQueue, QueuedSide


def test_outside_growth_joins_the_back_and_shrinkage_leaves_from_it() -> None:
    """An own order advances only once less is left than stood ahead of it."""
    queue = LevelQueue()
    queue.set_outside(10)
    queue.entries[7] = 5
    queue.set_outside(14)
    assert [10, 5, 4] == list(queue.entries.values())
    queue.set_outside(6)
    assert [6, 5] == list(queue.entries.values())
    assert 11 == queue.total_lots


def test_take_is_first_come_first_served() -> None:
    """Outside liquidity ahead gives first; passing it by takes own orders alone."""
    queue = LevelQueue()
    queue.set_outside(3)
    queue.entries[7] = 5
    assert [(7, 2)] == queue.take(2, own_only=True)
    ((stretch, gave), own) = queue.take(4, own_only=False)
    assert stretch < 0
    assert 3 == gave
    assert (7, 1) == own
    assert 0 == queue.outside_lots
    assert 2 == queue.total_lots


def test_a_side_keeps_its_best_last() -> None:
    """Bids by price, asks by its negation."""
    asks = QueuedSide(-1)
    for price in (103, 101, 102):
        asks.queue(-price).set_outside(1)
    assert [-103, -102, -101] == asks.keys
    assert [-101, -102] == asks.from_best(-102)
    assert asks.is_met_by(101)
    assert not asks.is_met_by(100)
    asks.drop_outside(-102)
    assert [-103] == asks.keys
