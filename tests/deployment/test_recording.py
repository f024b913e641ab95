"""Adaptation from recorded steps against `Agent.adapt` on an environment, bit by bit."""

import gymnasium
import numpy as np
import pytest
import torch

import metarl
from metarl.config.run import InnerConfig
from metarl.core.errors import ConfigError, Divergence, EnvironmentFault, FamilyError
from metarl.deployment.recording import as_reward
from tests.helpers.agents import CHOICES, agent

HORIZON = 15


class Seeds(gymnasium.Wrapper):
    """Notes the seeds of resets, and the number of steps of each episode."""

    def __init__(self, env):
        super().__init__(env)
        self.seeds, self.lengths = [], []

    def reset(self, *, seed=None, options=None):
        self.seeds.append(seed)
        self.lengths.append(0)
        return super().reset(seed=seed)

    def step(self, action):
        self.lengths[-1] += 1
        return super().step(action)


class Countdown(gymnasium.Env):
    """An episode of 3 to 12 steps, which its seed chooses; the reward prefers the third choice."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (5,))
    action_space = gymnasium.spaces.Discrete(3, start=2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(3, 13))
        return self._seen(), {}

    def _seen(self):
        return np.append(self.np_random.normal(size=4), self.left).astype(np.float32)

    def step(self, action):
        self.left -= 1
        return self._seen(), float(action == 4) + 0.1 * self.left, self.left == 0, False, {}


class Push(Countdown):
    """The same with two numbers as action, the first of which is clipped."""

    action_space = gymnasium.spaces.Box(
        np.array([-1, -np.inf], np.float32), np.array([0.25, np.inf], np.float32), (2,), np.float32
    )

    def step(self, action):
        seen, _, *rest = super().step(4)
        return seen, -float(np.square(action - 0.5).sum()), *rest


def on_device(learner, env, seeds, seed, horizon=HORIZON):
    """Episodes by act and record alone."""
    for start in seeds:
        observation, _ = env.reset(seed=start)
        for step in range(horizon):
            action = learner.act(observation, deterministic=False, seed=seed)
            observation, reward, terminated, truncated, _ = env.step(action)
            learner.record(reward, terminated, truncated or step == horizon - 1)
            if terminated:
                break


KINDS = {
    "gaussian": {},
    "categorical": {"action": CHOICES},
    "ANIL": {"inner": InnerConfig(lr=0.05, adapt="head")},
    "CAVIA": {"inner": InnerConfig(lr=0.5, adapt="context"), "context": 3},
    "Meta-SGD": {"inner": InnerConfig(lr=0.05, learned_lr="per-parameter")},
    "a rate per layer": {"inner": InnerConfig(lr=0.05, learned_lr="per-layer", later_lr=0.02), "action": CHOICES},
    "later rate": {"inner": InnerConfig(lr=0.1, later_lr=0.01)},
    "Adam": {"inner": InnerConfig(lr=0.01, optimiser="adam")},
    "DiCE": {"inner": InnerConfig(lr=0.02, estimator="dice")},
    "normalised": {"normalise_observations": True, "action": CHOICES},
    "double": {"dtype": "float64"},
}


@pytest.mark.parametrize("episodes", [1, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_updates_are_the_steps_of_adapt(kind, episodes):
    """Two updates against two steps of adapt: the same random numbers, episodes, parameters and returns."""
    options = KINDS[kind]
    learner = agent(horizon=HORIZON, **options)
    env = Seeds((Countdown if "action" in options else Push)())
    expected = learner.adapt(env, episodes=episodes, steps=2, seed=3)
    seeds, lengths = list(env.seeds), list(env.lengths)
    assert episodes == 1 or len(set(lengths)) > 1  # episodes of several lengths
    found = learner
    for step in range(2):
        on_device(found, env, seeds[step * episodes : (step + 1) * episodes], seed=3)
        found = found.update()
    assert env.lengths[len(lengths) :] == lengths
    assert found.returns == expected.returns
    assert any(not torch.equal(value, learner.params[name]) for name, value in found.params.items())
    for name, value in expected.params.items():
        assert torch.equal(found.params[name], value), name


def test_rates_can_be_given():
    learner = agent(horizon=HORIZON)
    env = Seeds(Push())
    expected = learner.adapt(env, episodes=2, steps=2, inner_lr=0.2, later_inner_lr=0.03)
    seeds = list(env.seeds)
    on_device(learner, env, seeds[:2], seed=1)
    one = learner.update(inner_lr=0.2, later_inner_lr=0.03)
    on_device(one, env, seeds[2:], seed=1)
    two = one.update(inner_lr=0.2, later_inner_lr=0.03)
    assert all(torch.equal(two.params[name], value) for name, value in expected.params.items())
    with pytest.raises(ConfigError, match=r"^inner_lr = -1"):
        learner.update(inner_lr=-1.0)


@pytest.mark.parametrize("action", [None, CHOICES])
def test_logged_episodes_are_worth_the_same_as_recorded_ones(action):
    """Actions sampled elsewhere: the log holds them before they are clipped."""
    options = {} if action is None else {"action": action}
    learner = agent(horizon=HORIZON, **options)
    env = Push() if action is None else Countdown()
    on_device(learner, env, range(4), seed=1)
    twin = agent(horizon=HORIZON, **options)
    clipped = 0
    for episode in learner._recorder.finished:
        observations, actions, rewards = (part[0, 0].numpy() for part in (episode[0], episode[1], episode[3]))
        if action is None:
            clipped += int((actions[:, 0] > 0.25).sum())
        twin.record_episode(observations, actions + (2 if action else 0), rewards)
    assert action is not None or clipped > 5
    assert twin.recorded == learner.recorded
    for name, value in learner.update().params.items():
        torch.testing.assert_close(twin.update().params[name], value, atol=1e-6, rtol=1e-6)


def test_an_update_leaves_the_agent_as_it_was():
    learner = agent(horizon=HORIZON)
    before = {name: value.clone() for name, value in learner.params.items()}
    on_device(learner, Push(), range(3), seed=1)
    returns = learner.recorded
    one, two = learner.update(), learner.update()
    assert all(torch.equal(one.params[name], two.params[name]) for name in before)
    assert all(torch.equal(learner.params[name], value) for name, value in before.items())
    assert (learner.recorded, one.recorded) == (returns, [])
    assert one.returns == [pytest.approx(np.mean(returns), rel=1e-6)]


def test_episodes_and_updates_have_noise_of_their_own():
    learner = agent()
    seen = np.zeros(5)
    drawn = []
    for _ in range(2):
        for _ in range(3):
            for step in range(2):
                drawn.append(tuple(learner.act(seen, deterministic=False)))
                learner.record(0.0, truncated=step == 1)
        updated = learner.update()
        learner._begin(updated._state)  # the same parameters, after an update
    assert len(set(drawn)) == 12


def test_steps_that_cannot_be_recorded():
    learner = agent()
    seen = np.zeros(5)

    def refused(message, call, *arguments, error=FamilyError):
        with pytest.raises(error, match=message) as raised:
            call(*arguments)
        assert "\n" not in str(raised.value)

    refused("^update without a recorded episode; call act", learner.update)
    refused("^record was called before act", learner.record, 0.0)
    learner.act(seen)
    refused("^record after an action without noise; adaptation learns from sampled actions", learner.record, 0.0)
    learner.act(seen, deterministic=False)
    for reward in (np.nan, np.inf, None, [1.0, 2.0], "much"):
        refused("^reward = .*; expected a finite number", learner.record, reward, error=EnvironmentFault)
    learner.record(0.0)
    refused("^record was called before act", learner.record, 0.0)
    refused("^episode 0 is not finished: 1 steps recorded; record its last", learner.update)
    refused("^episode 0 is not finished", learner.record_episode, [seen], [[0, 0]], [0])
    for _ in range(2):
        learner.act(seen, deterministic=False)
    refused("^act was called 2 times since the last record", learner.record, 0.0)
    learner.discard_episode()
    refused("^update without a recorded episode", learner.update)
    for _ in range(2):  # before an episode an agent may act as often as it likes
        learner.act(seen, deterministic=False)
    learner.record(1.0, terminated=True)
    assert learner.recorded == [1.0]


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (([[0.0] * 4], [[0, 0]], [0]), r"observations of shape \(1, 4\); expected \(1, 5\)"),
        (([[0.0] * 5], [[0, 0, 0]], [0]), r"actions of shape \(1, 3\); expected \(1, 2\)"),
        (([[0.0] * 5], [[0, 0]], [0, 1]), r"observations of shape \(1, 5\); expected \(2, 5\)"),
        (([[0.0] * 5], [[0, 0]], [[0]]), r"rewards of shape \(1, 1\); expected \(1,\)"),
        ((np.zeros((0, 5)), np.zeros((0, 2)), []), "with at least one step"),
        (([{"x": 1}], [[0, 0]], [0]), "observations are not numbers"),
        (([[0.0] * 4 + [np.nan]], [[0, 0]], [0]), "observations are not finite at step 0"),
        (([[0.0] * 5] * 2, [[0, 0], [0, np.inf]], [0, 0]), "actions are not finite at step 1"),
    ],
)
def test_logs_that_do_not_fit(log, message):
    with pytest.raises(metarl.MetarlError, match=message):
        agent().record_episode(*log)


def test_discrete_actions_outside_the_space_are_refused():
    for action in (1, 5, 2.5):
        with pytest.raises(FamilyError, match=rf"action {action:g} is not in Discrete\(3, start=2\)"):
            agent(action=CHOICES).record_episode([[0.0] * 5], [action], [0.0])


def test_a_repeated_action_counts_as_one_that_lasted_longer():
    """A broken observation in the second step: its reward belongs to the first action."""
    learner, twin = agent(), agent()
    seen, broken = np.linspace(-1, 1, 5), np.full(5, np.nan)
    for each in (learner, twin):
        each.act(seen, deterministic=False)
        each.record(1.0 if each is learner else 3.0)
    learner.act(broken, deterministic=False, keep_last=True)
    learner.record(2.0)
    for each in (learner, twin):
        each.act(-seen, deterministic=False)
        each.record(5.0, terminated=True)
    for one, two in zip(learner._recorder.finished, twin._recorder.finished, strict=True):
        assert all(a is None or torch.equal(a, b) for a, b in zip(one, two, strict=True))
    # Before the first action of an episode there is none to repeat: the step is left out.
    learner.act(broken, keep_last=True)
    learner.record(9.0)
    learner.act(seen, deterministic=False)
    learner.record(4.0, truncated=True)
    assert learner.recorded == [8.0, 4.0]


def test_an_update_that_diverges_is_an_error_and_leaves_the_agent():
    learner = agent(horizon=HORIZON)
    on_device(learner, Push(), range(3), seed=1)
    with pytest.raises(Divergence, match=r"^parameter .* is not finite after the update; try a smaller inner_lr"):
        learner.update(inner_lr=1e40)
    steep = {"log_std": learner.params["log_std"] + 3.9}
    learner.params |= steep
    with pytest.raises(Divergence, match=r"^log_std is .* above its bound of 4"):
        learner.update(inner_lr=20.0)
    assert np.isfinite(learner.act(np.zeros(5))).all()


def test_rewards_may_be_any_number():
    assert [as_reward(value) for value in (1, True, np.float32(0.5), np.array(2.0), torch.tensor([3.0]))] == [
        1.0, 1.0, 0.5, 2.0, 3.0,
    ]  # fmt: skip
