"""What holds of the references of every family that ships."""

import numpy as np
import pytest

from metarl.families.ids.installed import registered
from metarl.families.observe_task import ObserveTask
from metarl.families.registry import family_variants
from tests.helpers.families import load_or_skip

NAMES = {
    "bernoulli-bandit": {"oracle", "bayes-optimal", "gittins", "thompson", "ucb1", "random"},
    "tabular-mdp": {"oracle", "psrl", "psrl-mean-0", "opsrl", "opsrl-mean-0", "random"},
    "grid-navigation": {"oracle", "bayes-optimal", "psrl", "random"},
    "t-maze": {"oracle", "bayes-optimal", "memoryless", "random"},
}


def test_the_families_that_have_some():
    found = {name: set(load_or_skip(name).references()) for name in registered() if "metaworld" not in name}
    assert {name: names for name, names in found.items() if names} == NAMES


def test_a_family_that_shows_its_task_has_the_same():
    family = load_or_skip("t-maze")
    assert ObserveTask(family).references().keys() == family.references().keys()


@pytest.mark.parametrize("name", NAMES)
def test_bounds_are_in_order_and_exact_rows_do_not_depend_on_the_generator(name):
    """random <= optimum <= oracle on average over tasks, and oracle for each task; simulations differ by generator."""
    for variant in family_variants(name) or (None,):
        family = load_or_skip(name, variant)
        tasks = family.sample_tasks(30, "meta-test", np.random.default_rng(0))
        one, other = (
            {label: r.measure(tasks, 4, 3, np.random.default_rng(seed)) for label, r in family.references().items()}
            for seed in (1, 2)
        )
        for label, reference in family.references().items():
            assert np.array_equal(one[label], other[label]) == reference.exact, label
            if reference.exact:
                assert np.all(one[label].sum(1) <= one["oracle"].sum(1) + 1e-9), label
        blind = [label for label, r in family.references().items() if r.bound and not r.knows_task]
        for label in blind:
            assert one["random"].sum() < one[label].sum() <= one["oracle"].sum()
        assert family.references()["oracle"].knows_task
