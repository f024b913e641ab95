from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import metarl
from metarl.agent import Agent
from metarl.config.run import InnerConfig, PolicyConfig, TrainConfig
from metarl.core.errors import Divergence, EnvironmentFault, FamilyError, RunError
from metarl.core.prng import Key
from metarl.rl.policies import make_policy
from metarl.rl.setup import describe_spaces, spaces_from
from metarl.training.start import train


@pytest.fixture
def run(tmp_path, tiny_config):
    train("maml-trpo", tiny_config, tmp_path / "run")
    return tmp_path / "run"


def goal_env(family, x=0.3, y=-0.2):
    return family.make({"goal": np.array([x, y], np.float32)})


def test_adapts_to_an_environment_and_leaves_the_original_alone(run, family):
    agent = metarl.load(run)
    before = {k: v.clone() for k, v in agent.params.items()}
    adapted = agent.adapt(goal_env(family), episodes=5, steps=2)
    assert len(adapted.returns) == 2
    assert all(torch.equal(agent.params[k], v) for k, v in before.items())
    assert any(not torch.equal(adapted.params[k], v) for k, v in before.items())
    again = agent.adapt(goal_env(family), episodes=5, steps=2)
    assert all(torch.equal(again.params[k], v) for k, v in adapted.params.items())


def test_adapting_one_environment_is_the_inner_loop(run, family):
    """Same noise, same steps: the agent's parameters against adapt_step on the analytic batch."""
    from metarl.adaptation.adapter import adapt_step, initial_state
    from metarl.adaptation.gradient import gradient_adapter
    from metarl.rl.setup import build_problem
    from metarl.runs.directory import read_config

    agent = metarl.load(run)
    adapted = agent.adapt(goal_env(family), episodes=4, steps=2, seed=3)
    _, config = read_config(run)
    problem = build_problem(replace(config, episodes=4), family, agent.policy)
    at = initial_state(agent.params, 1)
    for step in range(2):
        data = problem.collect(
            at.params, {"goal": np.array([[0.3, -0.2]], np.float32)}, Key.from_seed(3).at("adapt", step)
        ).data
        at = adapt_step(problem.inner_loss, at, data, gradient_adapter(config.inner))
    for name, value in adapted.params.items():
        torch.testing.assert_close(value, at.params[name][0], atol=1e-4, rtol=1e-3)


def test_acts_within_bounds_deterministically_or_not(run):
    agent = metarl.load(run)
    assert agent.act(np.zeros(2)).shape == (2,)
    assert np.array_equal(agent.act(np.zeros(2)), agent.act(np.zeros(2)))
    sampled = [agent.act(np.zeros(2), deterministic=False) for _ in range(20)]
    assert len({tuple(a) for a in sampled}) > 10
    assert max(np.abs(a).max() for a in sampled) <= 1
    with pytest.raises(FamilyError, match=r"shape \(3,\); expected \(2,\)"):
        agent.act(np.zeros(3))


def test_saved_agents_act_the_same(run, family, tmp_path):
    adapted = metarl.load(run).adapt(goal_env(family), episodes=3)
    adapted.save(tmp_path / "policy.safetensors")
    loaded = metarl.load(tmp_path / "policy.safetensors")
    for observation in np.random.default_rng(0).normal(size=(10, 2)):
        assert np.array_equal(adapted.act(observation), loaded.act(observation))
    assert loaded.returns == adapted.returns
    further = loaded.adapt(goal_env(family), episodes=3)
    assert len(further.returns) == 2


def test_an_observation_of_nan_is_an_error_or_keeps_the_last_action(run):
    """A NaN would pass through clipping to the motors of a robot."""
    agent = metarl.load(run)
    broken = np.array([0.1, np.nan])
    for keep_last in (False, True):  # nothing to keep yet
        with pytest.raises(EnvironmentFault, match=r"^observation\[1\] = nan \(1 of 2 entries are not finite\)"):
            agent.act(broken, keep_last=keep_last)
    last = agent.act(np.array([0.2, -0.3]))
    with pytest.raises(EnvironmentFault, match="expected finite numbers"):
        agent.act(broken, deterministic=False)
    kept = agent.act(broken, keep_last=True)
    assert np.array_equal(kept, last)
    kept[:] = 9  # what a caller does to an action leaves the next one alone
    assert np.array_equal(agent.act(broken, keep_last=True), last)
    agent.params["head.bias"] = torch.full_like(agent.params["head.bias"], torch.inf)
    with pytest.raises(Divergence, match="action is not finite"):
        agent.act(np.zeros(2), keep_last=True)


def test_files_that_are_no_policy(run, tmp_path):
    path = tmp_path / "x.safetensors"
    for data in (b"", b"nonsense", (run / "checkpoints" / "00000004" / "theta.safetensors").read_bytes()):
        path.write_bytes(data)
        with pytest.raises(RunError, match=r"x.safetensors: not a policy"):
            metarl.load(path)
    with pytest.raises(RunError, match="neither a run directory nor"):
        metarl.load(tmp_path / "nothing")


def test_other_spaces_are_refused(run):
    with pytest.raises(FamilyError, match=r"shape \(3,\); the agent was trained on \(2,\)"):
        metarl.load(run).adapt(gymnasium.make("Pendulum-v1"))


class Lamp(gymnasium.Env):
    """Dict observations, discrete actions: reward for the action that the observation names."""

    observation_space = spaces.Dict({"light": spaces.Discrete(2), "level": spaces.Box(-1, 1, (1,))})
    action_space = spaces.Discrete(2, start=3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.light = int(self.np_random.integers(2))
        return {"light": self.light, "level": np.zeros(1, np.float32)}, {}

    def step(self, action):
        assert action in (3, 4)
        reward = float(action - 3 == self.light)
        self.light = int(self.np_random.integers(2))
        return {"light": self.light, "level": np.zeros(1, np.float32)}, reward, False, False, {}


def lamp_agent():
    config = TrainConfig(inner=InnerConfig(lr=2.0), policy=PolicyConfig(hidden_sizes=(8,)))
    description = describe_spaces(spaces.Box(-1, 1, (3,)), Lamp.action_space)
    observation_space, action_space = spaces_from(description)
    policy = make_policy(observation_space, action_space, hidden_sizes=(8,))
    return Agent(config, {k: v.float() for k, v in policy.initialise(Key.from_seed(1)).items()}, description, 20)


def test_dict_observations_and_discrete_actions_are_learned():
    adapted = lamp_agent().adapt(Lamp(), episodes=10, steps=8)
    assert adapted.returns[-1] > adapted.returns[0] + 4
    assert adapted.act({"light": 1, "level": np.zeros(1, np.float32)}) == 4
    assert adapted.act({"light": 0, "level": np.zeros(1, np.float32)}) == 3


def test_a_broken_environment_is_named():
    class Broken(Lamp):
        def step(self, action):
            observation, _, *rest = super().step(action)
            return observation, float("nan"), *rest

    with pytest.raises(EnvironmentFault, match="reward is not finite at task 0, episode 0, step 0"):
        lamp_agent().adapt(Broken(), episodes=2)


def test_other_action_bounds_are_refused(tmp_path, tiny_config):
    """The family scales actions from [-1, 1]; the raw environment would get half of every torque."""
    config = replace(
        tiny_config, family="tests.helpers.families:SHORT_PENDULUM", variant=None, iterations=0, validation_tasks=0
    )
    train("maml-trpo", config, tmp_path / "pendulum")
    agent = metarl.load(tmp_path / "pendulum")
    with pytest.raises(FamilyError, match="action space is Box"):
        agent.adapt(gymnasium.make("Pendulum-v1"))
    scaled = gymnasium.wrappers.RescaleAction(gymnasium.make("Pendulum-v1"), -1.0, 1.0)
    assert agent.adapt(scaled, episodes=1, steps=1).act(np.zeros(3)).shape == (1,)


@pytest.mark.parametrize("options", [{"episodes": 0}, {"steps": -1}, {"horizon": 0}, {"inner_lr": -1.0}])
def test_adapting_with_values_that_cannot_be_used(run, family, options):
    with pytest.raises(metarl.MetarlError, match="expected a"):
        metarl.load(run).adapt(goal_env(family), **options)


def test_nested_observations_are_flattened_or_refused():
    with pytest.raises(FamilyError, match="flatten it"):
        lamp_agent().act({"light": 1, "level": np.zeros(1)})
