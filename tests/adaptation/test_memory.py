"""The adapter by memory: theta stays, memory is handed on, and the steps of one trial are counted."""

import torch

from metarl.adaptation.memory import Chunks, MemoryAdapter, Trials
from metarl.adaptation.problem import Collected
from metarl.core.prng import Key

TASKS = {"goal": torch.zeros(3, 1).numpy()}


def trials(tasks, number, steps):
    values = torch.arange(tasks * number * steps, dtype=torch.float64).reshape(tasks, number, steps)
    return Trials(values[..., None], values[..., None], values, values, values > 3, values >= 0)


def collected(memory, data):
    used = data.mask.sum((1, 2))
    return Collected(data, torch.zeros(3), used, torch.zeros(3), memory=memory)


def test_memory_is_handed_on_and_theta_stays():
    adapter, theta = MemoryAdapter(), {"weight": torch.arange(2.0)}
    state = adapter.initial(theta, TASKS, Key(1))
    assert adapter.policy(state)[1] is None
    for number in range(2):
        state = adapter.observe(None, state, collected(f"memory {number}", trials(3, 4, 5 + number)))
    params, memory = adapter.policy(state)
    assert memory == "memory 1"
    torch.testing.assert_close(params["weight"], torch.arange(2.0).expand(3, 2))
    assert state.step == 2
    assert state.used.tolist() == [11.0] * 3  # of one trial of each task, not of four
    assert adapter.carried(theta, state) == {}
    assert adapter.add_state(theta) is theta
    assert adapter.facts()["adapts_by"] == "memory (gru)"


def test_trials_are_chosen_by_number():
    whole = trials(2, 4, 3)
    part = whole.only(torch.tensor([3, 1]))
    for one, other in zip(whole, part, strict=True):
        torch.testing.assert_close(other, one[:, [3, 1]])
    chunks = Chunks(2, torch.arange(16.0).reshape(2, 4, 2, 1)).only(torch.tensor([0]))
    assert chunks.steps == 2
    assert chunks.memories.flatten().tolist() == [0.0, 1.0, 8.0, 9.0]
