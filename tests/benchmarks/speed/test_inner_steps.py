"""Memory of many inner steps."""

from concurrent.futures.process import BrokenProcessPool

import pytest

from benchmarks.speed import inner_steps
from benchmarks.speed.harness import in_own_process
from metarl.core.errors import ConfigError


def test_every_case_is_measured_with_and_without(monkeypatch):
    """A process that is killed, for want of memory for instance, is a result too."""

    def apart(function, algorithm, steps, checkpointing, options):
        assert function is inner_steps.cost
        if steps == 50 and not checkpointing:
            raise BrokenProcessPool
        return {"seconds": 1.0 + checkpointing, "peak_memory_bytes": steps * 10**7, "memory_before_bytes": 10**7}

    monkeypatch.setattr(inner_steps, "in_own_process", apart)
    result = inner_steps.measure(inner_steps.Options(algorithms=("maml",), steps=(5, 50)))
    assert [row["kept"] is None for row in result["cases"]] == [False, True]
    lines = [line.split() for line in inner_steps.report(result).splitlines()]
    assert ["maml,", "5", "50", "50", "1.00", "2.00", "2.00"] in lines
    assert ["maml,", "50", "killed", "500", "-", "2.00", "-"] in lines
    assert inner_steps.report(result).endswith("takes 10 MB before its first iteration.")
    with pytest.raises(ConfigError, match="--steps = 0; expected a whole number of at least 1"):
        inner_steps.measure(inner_steps.Options(steps=(5, 0)))


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["maml", "promp"])
def test_twenty_steps_take_at_most_twice_the_memory_of_five(algorithm):
    """Beyond what the process takes before the first iteration; without the option twenty take far more."""
    options = inner_steps.Options(tasks=20, episodes=10, iterations=1)

    def beyond(steps, checkpointing):
        found = in_own_process(inner_steps.cost, algorithm, steps, checkpointing, options)
        return found["peak_memory_bytes"] - found["memory_before_bytes"]

    few, many = beyond(5, True), beyond(20, True)
    assert many <= 2 * few
    assert beyond(20, False) > 2 * many


def test_the_cost_of_a_case():
    options = inner_steps.Options(tasks=2, episodes=2, iterations=1)
    found = inner_steps.cost("maml-trpo", 2, True, options)
    assert found["seconds"] > 0
    assert found["peak_memory_bytes"] >= found["memory_before_bytes"] > 1e7
