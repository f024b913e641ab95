"""Methods and suites: equal budgets."""

import pytest

from benchmarks.results.methods import SUITES, methods_on
from metarl.config.validation import validate

COLLECTIONS = {"maml": 2, "maml-trpo": 2, "promp": 2, "reptile": 3, "pretrain": 1}


@pytest.mark.parametrize("family", SUITES)
def test_every_method_gets_the_same_budget(family):
    suite = SUITES[family]
    for name, method in methods_on(suite).items():
        config = method.configuration(suite, method.outer_start, suite.inner_lr)
        validate(config)
        used = config.iterations * COLLECTIONS[method.algorithm] * suite.transitions
        assert used == pytest.approx(suite.budget, rel=0.015), name
        steps = 1 if method.algorithm != "reptile" else 3
        assert config.inner.steps == steps
