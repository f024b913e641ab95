"""The one loop of adaptation, with a problem and an adapter that note what they are asked."""

import pytest
import torch

from metarl.adaptation.adapter import AdaptState
from metarl.adaptation.collect import adapt, collect_adaptation
from metarl.adaptation.problem import Collected
from metarl.core.prng import Key
from metarl.core.timing import Phases

TASKS = {"number": [0, 1]}


class Counted:
    """A problem whose data is the number of the call, and what its two tasks reached and used then."""

    def __init__(self, *, success=False, observed=False):
        self.calls, self.known, self.seen = [], success, observed

    def collect(self, params, tasks, key, memory=None):
        n = len(self.calls)
        self.calls.append((params["x"].tolist(), memory, key.value, torch.is_grad_enabled()))
        values = torch.tensor([10.0 * n, 20.0 * n])
        return Collected(
            n, values, torch.tensor([n + 1, 2 * n + 1]), values + 1,
            success=torch.tensor([0.0, 1.0]) if self.known else None,
            observed=torch.tensor([[1.0, n], [2.0, n]]) if self.seen else None,
        )  # fmt: skip


class Adding:
    """Adds the data to every parameter, and keeps the sum of all data as memory."""

    def __init__(self):
        self.closed = []

    def initial(self, theta, tasks, key):
        return AdaptState({"x": theta["x"].expand(2)}, memory=100)

    def policy(self, state):
        return {"x": -state.params["x"]}, state.memory

    def observe(self, problem, state, collected):
        params = {"x": state.params["x"] + collected.data}
        return AdaptState(params, state.step + 1, state.memory + collected.data, state.used + collected.transitions)

    def carried(self, theta, state):
        return {"inner_memory.sum": torch.tensor(float(state.memory))}

    def close(self, state):
        self.closed.append(state.memory)


THETA = {"x": torch.tensor(5.0)}


def test_every_step_is_collected_with_what_was_adapted_before_it():
    problem, adapter, key = Counted(), Adding(), Key(3)
    pairs = list(adapt(problem, THETA, TASKS, key, adapter, 3))
    assert [collected.data for _, collected in pairs] == [0, 1, 2, 3]
    assert [state.params["x"].tolist() for state, _ in pairs] == [[5, 5], [5, 5], [6, 6], [8, 8]]
    assert [params for params, *_ in problem.calls] == [[-5, -5], [-5, -5], [-6, -6], [-8, -8]]
    assert [memory for _, memory, *_ in problem.calls] == [100, 100, 101, 103]
    assert [value for *_, value, _ in problem.calls] == [key.at(step).value for step in range(4)]
    assert not any(recorded for *_, recorded in problem.calls)
    assert adapter.closed == [103]


def test_what_each_task_has_used_is_counted_up_to_each_state():
    used = [state.used for state, _ in adapt(Counted(), THETA, TASKS, Key(3), Adding(), 3)]
    assert [torch.as_tensor(value).tolist() for value in used] == [0, [1, 1], [3, 4], [6, 9]]


def test_without_a_query_nothing_is_collected_after_the_last_step():
    problem, adapter = Counted(), Adding()
    pairs = list(adapt(problem, THETA, TASKS, Key(3), adapter, 2, query=False))
    assert len(pairs) == 3
    assert pairs[-1][1] is None
    assert len(problem.calls) == 2
    assert pairs[-1][0].step == 2
    assert adapter.closed == [101]


def test_what_a_state_holds_is_released_whatever_happens():
    adapter = Adding()
    loop = adapt(Counted(), THETA, TASKS, Key(3), adapter, 3)
    next(loop)
    next(loop)
    loop.close()
    assert adapter.closed == [100]

    class Failing(Counted):
        def collect(self, params, tasks, key, memory=None):
            if len(self.calls) == 2:
                raise RuntimeError("broken")
            return super().collect(params, tasks, key, memory)

    adapter = Adding()
    with pytest.raises(RuntimeError, match="broken"):
        list(adapt(Failing(), THETA, TASKS, Key(3), adapter, 3))
    assert adapter.closed == [101]


def test_what_an_outer_update_gets():
    phase = Phases()
    data = collect_adaptation(Counted(success=True, observed=True), THETA, TASKS, Key(3), Adding(), 2, phase)
    assert (data.supports, data.query) == ([0, 1], 2)
    assert [float(value) for value in data.returns] == [0, 15, 30]
    assert [float(value) for value in data.successes] == [0.5, 0.5, 0.5]
    assert data.objective.tolist() == [21, 41]
    assert int(data.transitions) == (1 + 1) + (2 + 3) + (3 + 5)
    assert data.observed.tolist() == [9, 6]
    assert data.params["x"].tolist() == [6, 6]
    assert float(data.carried["inner_memory.sum"]) == 101
    assert phase.seconds.keys() == {"collect", "adapt"}
    assert data.metrics().keys() == {"return", "success", "observed", "transitions"}


def test_without_a_query_the_last_points_are_missing():
    data = collect_adaptation(Counted(), THETA, TASKS, Key(3), Adding(), 2, Phases(), query=False)
    assert (data.supports, data.query, data.returns[2], data.successes) == ([0, 1], None, None, [None] * 3)
    assert data.objective.tolist() == [11, 21]
    assert int(data.transitions) == 7
    assert data.metrics().keys() == {"return", "transitions"}


def test_no_steps_leave_the_query_alone():
    data = collect_adaptation(Counted(), THETA, TASKS, Key(3), Adding(), 0, Phases())
    assert (data.supports, data.query) == ([], 0)
    assert data.params["x"].tolist() == [5, 5]
