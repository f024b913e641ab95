"""RL2 beside RecurrentPPO."""

import pytest

from benchmarks.speed import memory


def test_the_peer_has_the_trials_and_the_sizes_of_rl2():
    pytest.importorskip("sb3_contrib", reason="sb3-contrib is not installed (extra sb3)")
    model = memory.peer(memory.Options(tasks=2, trials=2))
    assert (model.n_envs, model.n_steps, model.n_epochs, model.batch_size) == (4, 60, 2, 60)
    assert model.policy.lstm_actor.hidden_size == 64
    assert model.policy.lstm_critic is None
    model.learn(240)
    assert model.num_timesteps == 240


def test_rates_are_beside_that_of_the_peer():
    facts = {"cores": 2, "load_before": 0.1, "python": "3", "torch": "2", "torch_threads": 2}
    rates = {"RL2, gru": [40000.0, 60000.0, 50000.0], memory.PEER: [2000.0, 2500.0, 2600.0]}
    lines = memory.report({"machine": facts, "steps_per_second": rates}).splitlines()
    assert lines[2] == f"{'RL2, gru':<24}    50,000 steps/s    20.0 x"
    assert lines[3].endswith("     1.0 x")


def test_steps_are_counted():
    assert memory.rl2(memory.Options(tasks=4, trials=4, iterations=2), "lstm") > 100
