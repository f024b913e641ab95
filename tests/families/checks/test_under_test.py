import numpy as np
import pytest

from metarl.families.checks.under_test import DRAWN, CheckSkipped, UnderTest, same
from metarl.families.splits import shared_splits
from tests.helpers.slides import LIMIT, Slides


class Single(Slides):
    """A family with one task."""

    splits = shared_splits([{"goal": np.float32(0.5), "drift": np.float32(0.1)}])


class Undrawable(Slides):
    def sample_tasks(self, n, split, rng):
        raise RuntimeError("no tasks today")


def test_tasks_are_the_same_at_every_look_and_begin_again_after_the_last():
    one, again = UnderTest(Slides()), UnderTest(Slides())
    assert same(one.task(3), again.task(3))
    assert same(one.task(3), one.task(3 + DRAWN))
    assert not same(one.task(0), one.task(1))
    assert not same(one.other(one.task(0)), one.task(0))


def test_what_cannot_be_looked_into_is_skipped_with_the_reason():
    single = UnderTest(Single())
    with pytest.raises(CheckSkipped, match=r"^all tasks are the same$"):
        single.other(single.task(0))
    with pytest.raises(CheckSkipped, match=r"^no tasks to look at: no tasks today$"):
        UnderTest(Undrawable()).task(0)


def test_episodes_have_seeds_and_actions_of_their_own_and_environments_are_closed(monkeypatch):
    closed = []
    monkeypatch.setattr(Slides.env, "close", lambda self: closed.append(True), raising=False)
    under_test = UnderTest(Slides())
    with under_test.env(under_test.task(0)) as env:
        first, same_one, second = (under_test.episode(env, number) for number in (0, 0, 1))
    assert closed == [True]
    assert (len(first.rewards), first.end) == (LIMIT, "truncated")
    assert np.array_equal(first.observations, same_one.observations)
    assert not np.array_equal(first.observations, second.observations)


def test_tasks_are_compared_entry_by_entry():
    task = {"goal": np.float32(1), "drift": np.array([1, 2])}
    assert same(task, {"goal": 1.0, "drift": [1, 2]})
    assert not same(task, {"goal": 1.0, "drift": [1, 3]})
    assert not same(task, {"goal": 1.0})
