"""A trial against an environment that counts: no step lost or doubled, every inner end told, the same from a seed."""

import logging

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from metarl.core.errors import ConfigError
from metarl.trials.env import TrialEnv, inner_seed
from tests.helpers.trials import Diary


def act(env, value=0.5):
    return env.step(np.array([value], np.float32))


def whole_trial(env, **reset):
    """The first answer and those of all steps to the end of the trial."""
    first, answers = env.reset(**reset), []
    while not (answers and answers[-1][2]):
        answers.append(act(env))
        assert len(answers) < 1000
    return first, answers


@pytest.mark.parametrize("seed", range(5))
def test_no_step_is_lost_or_doubled(seed):
    """Lengths are drawn; the sum of them is the number of steps, and the environment was asked no more and no less."""
    diary = Diary()
    env = TrialEnv(diary, horizon=100, episodes=6)
    for trial in range(3):
        steps, resets = diary.steps, diary.resets
        first, answers = whole_trial(env, seed=seed if trial == 0 else None)
        infos = [info for *_, info in answers]
        lengths = [info["final_observation"][2] for info in infos if info["inner_end"]]
        assert len(lengths) == 6
        assert sum(lengths) == len(answers) == diary.steps - steps
        assert diary.resets - resets == 6
        assert [info["total"] for info in infos] == list(range(steps + 1, diary.steps + 1))
        # 100 x inner episode + step, each once and in order.
        expected = [100 * (resets + e) + t + 1 for e, n in enumerate(lengths, 1) for t in range(int(n))]
        assert [reward for _, reward, *_ in answers] == expected
        assert not any(truncated for _, _, _, truncated, _ in answers)
        assert [terminated for _, _, terminated, _, _ in answers] == [False] * (len(answers) - 1) + [True]
        assert first[1] == {"begun": resets + 1, "inner_end": False, "inner_episode": 0}


def test_a_trial_by_hand():
    """Two inner episodes, of two steps and of one: every observation with history, and every info."""
    diary = Diary(task=3, lengths=[2, 1])
    env = TrialEnv(diary, horizon=9, episodes=2)
    observation, _ = env.reset(seed=4)
    assert observation.tolist() == [3, 1, 0, 0, 0, 0]  # task, reset, step; action, reward, inner end
    assert env.observation_space.contains(observation)

    observation, reward, terminated, truncated, info = act(env, 0.5)
    assert (observation.tolist(), reward, terminated, truncated) == ([3, 1, 1, 0.5, 101, 0], 101, False, False)
    assert info == {
        "total": 1, "inner_end": False, "inner_terminated": False, "inner_truncated": False, "inner_episode": 0,
    }  # fmt: skip

    how = diary.truncates
    observation, reward, terminated, truncated, info = act(env, -0.25)
    # The observation is the next reset's; the history is of the step that ended the episode.
    assert (observation.tolist(), reward, terminated, truncated) == ([3, 2, 0, -0.25, 102, 1], 102, False, False)
    assert info.pop("final_observation").tolist() == [3, 1, 2]
    assert info == {
        "total": 2, "inner_end": True, "inner_terminated": not how, "inner_truncated": how, "inner_episode": 1,
        "inner_reset_info": {"begun": 2},
    }  # fmt: skip

    how = diary.truncates
    observation, reward, terminated, truncated, info = act(env, 0.75)
    # The last observation is that of the last inner episode: nothing was reset.
    assert (observation.tolist(), reward, terminated, truncated) == ([3, 2, 1, 0.75, 201, 1], 201, True, False)
    assert info.pop("final_observation").tolist() == [3, 2, 1]
    assert info == {
        "total": 3, "inner_end": True, "inner_terminated": not how, "inner_truncated": how, "inner_episode": 2,
    }  # fmt: skip
    assert diary.resets == 2

    observation, _ = env.reset()  # the next trial knows nothing of the last
    assert observation.tolist() == [3, 3, 0, 0, 0, 0]


def test_without_history_the_observation_is_the_inner_one():
    diary = Diary(lengths=[1, 3])
    env = TrialEnv(diary, horizon=9, episodes=2, observe_history=False)
    assert env.observation_space is Diary.observation_space
    (first, _), answers = whole_trial(env, seed=1)
    assert first is diary._place
    diary = Diary(lengths=[1, 3])
    env = TrialEnv(diary, horizon=9, episodes=2, observe_history=False)
    env.reset(seed=1)
    assert [act(env)[0].tolist() for _ in answers] == [[0, 2, 0], [0, 2, 1], [0, 2, 2], [0, 2, 3]]


def test_both_ways_of_an_inner_end_occur_and_are_told_apart():
    _, answers = whole_trial(TrialEnv(Diary(), horizon=100, episodes=40), seed=0)
    told = [(info["inner_terminated"], info["inner_truncated"]) for *_, info in answers if info["inner_end"]]
    assert set(told) == {(True, False), (False, True)}
    assert all(any(ways) == info["inner_end"] for *_, info in answers for ways in [
        (info["inner_terminated"], info["inner_truncated"])
    ])  # fmt: skip


def test_the_horizon_ends_inner_episodes_of_an_environment_that_does_not():
    """Episodes of 7, 2 and 3 steps under a horizon of 3; only the first is cut, the third ends by itself there."""
    diary = Diary(lengths=[7, 2, 3])
    _, answers = whole_trial(TrialEnv(diary, horizon=3, episodes=3), seed=2)
    ends = [(t, info["inner_truncated"]) for t, (*_, info) in enumerate(answers, 1) if info["inner_end"]]
    assert [t for t, _ in ends] == [3, 5, 8]
    assert ends[0][1] is True
    assert diary.resets == 3

    class Terminating(Diary):
        def reset(self, **arguments):
            answer = super().reset(**arguments)
            self.truncates = False
            return answer

    _, answers = whole_trial(TrialEnv(Terminating(lengths=[3]), horizon=3, episodes=1))
    assert [answers[-1][4][f"inner_{how}"] for how in ("terminated", "truncated")] == [True, False]


def test_actions_beyond_the_bounds_are_clipped_for_the_environment_and_in_the_history():
    diary = Diary(lengths=[5])
    env = TrialEnv(diary, horizon=9)
    env.reset(seed=1)
    for value, executed in ((-7.0, -2.0), (7.0, 1.0), (-1.5, -1.5)):
        assert act(env, value)[0][3] == executed
        assert diary.actions[-1].tolist() == [executed]
        assert diary.actions[-1].dtype == np.float32


def test_the_seed_determines_the_trial():
    def trial(seed, before=0):
        diary = Diary()
        env = TrialEnv(diary, horizon=100, episodes=5)
        if before:
            whole_trial(env, seed=before)
        diary.resets = 0
        first, answers = whole_trial(env, seed=seed)
        return diary, [first[0].tolist()] + [answer[0].tolist() for answer in answers]

    diary, observations = trial(7)
    assert diary.seeds == [inner_seed(7, number) for number in range(5)]
    assert diary.seeds[0] == 7
    assert len(set(diary.seeds)) == 5
    assert observations == trial(7, before=8)[1]
    assert observations != trial(8)[1]


def test_without_a_seed_no_inner_reset_is_seeded():
    diary = Diary()
    env = TrialEnv(diary, horizon=100, episodes=3)
    whole_trial(env, seed=7)
    whole_trial(env)
    assert diary.seeds[3:] == [None, None, None]


def test_inner_seeds_differ_between_trials_and_episodes():
    """Neighbouring seeds, as vector environments give them, share no inner seed."""
    found = {inner_seed(seed, number) for seed in range(100) for number in range(1, 20)}
    assert len(found) == 1900
    assert all(0 <= seed < 2**31 for seed in found)


def test_a_reset_in_the_middle_begins_a_whole_trial():
    """After two of three inner episodes and one step of the third, the next trial has three again, of four steps."""
    diary = Diary(lengths=[4])
    env = TrialEnv(diary, horizon=9, episodes=3)
    env.reset(seed=1)
    for _ in range(9):
        act(env)
    (first, info), answers = whole_trial(env)
    assert first.tolist() == [0, 4, 0, 0, 0, 0]
    assert info["inner_episode"] == 0
    assert [t for t, (*_, info) in enumerate(answers, 1) if info["inner_end"]] == [4, 8, 12]


def test_options_go_to_every_inner_reset():
    diary = Diary()
    env = TrialEnv(diary, horizon=100, episodes=2)
    whole_trial(env, options={"start": 1})
    whole_trial(env)
    assert diary.options == [{"start": 1}, {"start": 1}, None, None]


def test_a_step_before_the_first_reset_or_after_the_end_is_refused():
    diary = Diary(lengths=[1])
    env = TrialEnv(diary, horizon=9, episodes=1)
    with pytest.raises(ResetNeeded, match="expected a call of reset"):
        act(env)
    whole_trial(env)
    with pytest.raises(ResetNeeded, match="expected a call of reset"):
        act(env)
    assert diary.steps == 1


@pytest.mark.parametrize("name", ["horizon", "episodes"])
def test_numbers_below_one_are_refused(name):
    with pytest.raises(ConfigError, match=rf"^{name} = 0; expected a whole number of at least 1$"):
        TrialEnv(Diary(), **{"horizon": 3, "episodes": 2, name: 0})


class Fresh(Diary):
    """Returns a new observation each time, as the checkers expect, and no counts beyond the seed."""

    def reset(self, *, seed=None, options=None):
        self.resets, self.steps = 0, 0
        observation, info = super().reset(seed=seed, options=options)
        return observation.copy(), info

    def step(self, action):
        observation, *rest = super().step(action)
        return observation.copy(), *rest


class Choosing(Fresh):
    """With discrete actions and observations, and episodes of one step."""

    observation_space = spaces.Discrete(2)
    action_space = spaces.Discrete(3)

    def reset(self, **arguments):
        return 0, super().reset(**arguments)[1]

    def step(self, action):
        _, reward, *_ = super().step(action)
        return 1, reward, True, False, {}


@pytest.mark.parametrize("kind", [Fresh, Choosing])
@pytest.mark.parametrize("observe_history", [True, False])
@pytest.mark.parametrize("episodes", [1, 3])
def test_both_checkers_accept_it(kind, observe_history, episodes, caplog):
    env = TrialEnv(kind(), horizon=3, episodes=episodes, observe_history=observe_history)
    with caplog.at_level(logging.ERROR):
        check_env(env, skip_render_check=True)
    checker = pytest.importorskip("stable_baselines3.common.env_checker", reason="stable-baselines3 is not installed")
    checker.check_env(env, warn=False)
