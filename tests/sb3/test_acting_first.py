"""SAC, TD3 and DQN act by theta from the first step of a task on, and learn within it."""

import json

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tests.helpers.cli import metarl as command_line

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")

import metarl
from metarl.adaptation.parameters import initial_theta
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.config.sb3 import ReptileSb3Config, Sb3Options
from metarl.core.errors import ConfigError
from metarl.core.prng import Key
from metarl.sb3.acting import private_randomness
from metarl.sb3.learner import parameters_of
from metarl.sb3.setup import setup
from metarl.training.start import train

FAMILIES = {"SAC": "navigation2d", "TD3": "navigation2d", "DQN": "cartpole"}
SETTINGS = {"batch_size": 8, "buffer_size": 500}


def config_of(algorithm, timesteps=120, acts_first=True, n_envs=1, **settings):
    options = Sb3Options(algorithm, timesteps, n_envs, json.dumps(SETTINGS | settings), acts_first=acts_first)
    return ReptileSb3Config(
        family=FAMILIES[algorithm], iterations=1, meta_batch_size=1, episodes=2, validation_tasks=0, sb3=options,
        inner=InnerConfig(lr=1e-3, steps=1), policy=PolicyConfig(hidden_sizes=(8,)),
    )  # fmt: skip


@pytest.fixture
def sampled(monkeypatch):
    """The actions that were drawn at random from an action space."""
    drawn = []
    for kind in (spaces.Box, spaces.Discrete):

        def sample(self, *arguments, original=kind.sample, **named):
            drawn.append(original(self, *arguments, **named))
            return drawn[-1]

        monkeypatch.setattr(kind, "sample", sample)
    return drawn


class Lesson:
    """A model that begins a task with the untrained initialisation of a configuration, and what it does."""

    def __init__(self, config):
        opened = setup(config)
        self.learner = opened.model
        self.theta = initial_theta(opened.adapter(), opened.model, 1, torch.device("cpu"), torch.float32)
        task = opened.sample_tasks(1, "meta-train", np.random.default_rng(0))
        self.updates = []
        """Environment steps that each gradient step came after."""
        with private_randomness(Key(7)):
            self.model = self.learner.starting(self.theta, task, Key(7), 1e-3)
            model, original = self.model, self.model.train

            def counted(gradient_steps, batch_size):
                self.updates.append(model.num_timesteps)
                original(gradient_steps, batch_size)

            model.train = counted

    def learn(self, timesteps):
        with private_randomness(Key(8)):
            self.learner.learn(self.model, timesteps)
        return self

    def stored(self, n):
        """The first observations and actions of the replay buffer."""
        buffer = self.model.replay_buffer
        return buffer.observations[:n, 0], buffer.actions[:n, 0]


@pytest.mark.parametrize("algorithm", FAMILIES)
def test_no_phase_of_random_actions_comes_first(algorithm, sampled):
    lesson = Lesson(config_of(algorithm)).learn(120)
    if algorithm == "DQN":  # 120 x 0.05 are expected; the schedule of Stable-Baselines3 would draw more than 100
        assert 1 <= len(sampled) < 20
    else:
        assert not sampled
    assert len(lesson.updates) > 20
    assert all(bool(torch.isfinite(value).all()) for value in parameters_of(lesson.model).values())


@pytest.mark.parametrize("algorithm", FAMILIES)
def test_without_the_option_exploration_is_the_algorithms_own(algorithm, sampled):
    lesson = Lesson(config_of(algorithm, acts_first=False)).learn(120)
    assert len(sampled) >= 100
    assert min(lesson.updates) > 100


@pytest.mark.parametrize("algorithm", ["TD3", "DQN"])
def test_the_first_actions_are_those_of_theta(algorithm):
    """As long as nothing has been learned; TD3's with its noise of 0.1, in units of half the bounds' distance."""
    lesson = Lesson(config_of(algorithm, batch_size=100)).learn(100)
    observations, actions = lesson.stored(100)
    fresh = Lesson(config_of(algorithm)).model
    greedy, _ = fresh.predict(observations, deterministic=True)
    if algorithm == "DQN":
        assert (greedy == actions.squeeze(-1)).mean() > 0.85
    else:
        noise = actions - fresh.policy.scale_action(greedy)
        inside = np.abs(actions) < 1
        assert noise[inside].std() == pytest.approx(0.1, rel=0.2)
        assert abs(noise[inside].mean()) < 0.03


def test_td3_without_noise_acts_as_theta_does():
    lesson = Lesson(config_of("TD3", batch_size=100, action_noise=None)).learn(100)
    observations, actions = lesson.stored(100)
    fresh = Lesson(config_of("TD3")).model
    expected = fresh.policy.scale_action(fresh.predict(observations, deterministic=True)[0])
    np.testing.assert_allclose(actions, expected, atol=1e-5)


def test_epsilon_is_small_from_the_start_and_stays():
    model = Lesson(config_of("DQN")).model
    assert [model.exploration_schedule(left) for left in (1.0, 0.95, 0.5, 0.0)] == pytest.approx([0.05] * 4)
    model = Lesson(config_of("DQN", exploration_final_eps=0.2)).model
    assert [model.exploration_schedule(left) for left in (1.0, 0.0)] == pytest.approx([0.2, 0.2])
    model = Lesson(config_of("DQN", exploration_initial_eps=0.5)).model
    assert [model.exploration_schedule(left) for left in (1.0, 0.0)] == pytest.approx([0.5, 0.05])


@pytest.mark.parametrize("acts_first", [True, False])
def test_dqns_target_network_moves_within_a_task(acts_first):
    lesson = Lesson(config_of("DQN", timesteps=200, acts_first=acts_first))
    theta = {name: value.clone() for name, value in lesson.model.q_net_target.state_dict().items()}
    assert lesson.model.target_update_interval == 20
    lesson.learn(200)
    assert any((value != theta[name]).any() for name, value in lesson.model.q_net_target.state_dict().items())


@pytest.mark.parametrize(("algorithm", "n_envs"), [("SAC", 1), ("DQN", 1), ("SAC", 3)])
def test_learning_waits_for_a_batch_of_transitions(algorithm, n_envs):
    lesson = Lesson(config_of(algorithm, batch_size=30, n_envs=n_envs, train_freq=1))
    assert lesson.learner.waits == 30
    lesson.learn(24)
    assert lesson.updates == []
    assert lesson.model.gradient_steps == 1
    lesson.learn(24)
    assert lesson.updates == list(range(30, 49, n_envs))
    assert lesson.model.gradient_steps == 1


def test_learning_starts_of_the_users_is_the_algorithms_own(sampled):
    lesson = Lesson(config_of("SAC", learning_starts=5, batch_size=30)).learn(12)
    assert len(sampled) == 5
    assert lesson.updates == list(range(6, 13))
    assert lesson.learner.waits == 0


def test_what_is_given_replaces_what_is_chosen_here():
    chosen = Sb3Options("DQN", timesteps=1000).arguments()
    assert chosen == {
        "learning_starts": 0, "target_update_interval": 100, "exploration_initial_eps": 0.05,
        "exploration_final_eps": 0.05,
    }  # fmt: skip
    given = dict.fromkeys(chosen, 7)
    assert Sb3Options("DQN", settings=json.dumps(given)).arguments() == given
    assert Sb3Options("DQN", timesteps=3, acts_first=False).arguments() == {"target_update_interval": 1}
    assert Sb3Options("TD3").arguments() == {"learning_starts": 0, "action_noise": 0.1}
    assert Sb3Options("TD3", settings='{"action_noise": 0.5}').arguments()["action_noise"] == 0.5
    assert Sb3Options("SAC").arguments() == {"learning_starts": 0}
    for algorithm in ("PPO", "A2C"):
        assert Sb3Options(algorithm, settings='{"n_steps": 5}').arguments() == {"n_steps": 5}


def test_a_result_says_what_was_used_and_scratch_explores_by_itself(tmp_path):
    train("reptile-sb3", config_of("DQN", 40), tmp_path / "run")
    used = {}
    for which in ("trained", "random"):
        result = metarl.evaluate(tmp_path / "run", tasks=1, episodes=1, steps=1, initialisation=which)
        used[which] = result["protocol"]
    settings = {which: json.loads(protocol["settings"]) for which, protocol in used.items()}
    assert settings["trained"] == SETTINGS | {
        "learning_starts": 0, "target_update_interval": 4, "exploration_initial_eps": 0.05,
        "exploration_final_eps": 0.05,
    }  # fmt: skip
    assert used["trained"]["learns_after"] == "8 transitions"
    assert settings["random"] == SETTINGS | {"target_update_interval": 4}
    assert "learns_after" not in used["random"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--sb3.algorithm TD3 --sb3.settings '{{\"action_noise\": -1}}'", "action_noise = -1; expected a standard dev"),
        ('--sb3.algorithm TD3 --sb3.settings \'{{"action_noise": "x"}}\'', "action_noise = 'x'; expected a standard"),
        ("--sb3.no-acts-first", "--sb3.acts-first = False; expected true: PPO of Stable-Baselines3 never acts"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path, options, message):
    line = f"train reptile-sb3 --family navigation2d --iterations 0 --validation-tasks 0 --run-dir {{t}}/x {options}"
    code, out, err = command_line(line, t=tmp_path)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_settings_that_are_no_numbers_are_refused_by_name():
    with pytest.raises(ConfigError, match="DQN has no argument 'action_noise'"):
        setup(config_of("DQN", action_noise=0.1))
