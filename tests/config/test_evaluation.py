import pytest

from metarl.config.evaluation import Evaluation, FamilyEvaluation


def test_defaults_are_the_documented_protocol():
    """Forty held-out tasks of meta-test, three steps of forty episodes each, the last checkpoint, rates as trained."""
    options = FamilyEvaluation()
    assert (options.split, options.tasks, options.steps, options.episodes) == ("meta-test", 40, 3, 40)
    assert (options.checkpoint, options.initialisation, options.inner_lr, options.seed) == ("last", "trained", None, 1)


def test_options_are_given_by_name_only():
    with pytest.raises(TypeError, match="positional"):
        Evaluation("meta-test")
