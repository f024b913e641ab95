import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from metarl.core.errors import EnvironmentFault, FamilyError
from metarl.families.family import SyncTaskVectorEnv, TaskFamily, env_label, known_variant
from metarl.families.splits import UniformSplits


class Answering(gymnasium.Env):
    """Returns from `step` what its task says; the observation is the task's number."""

    observation_space = spaces.Box(-10, 10, (1,), np.float32)
    action_space = spaces.Discrete(2)
    answers = (
        (np.zeros(1, np.float32), 1.0, False, False, {}),
        (np.zeros(2, np.float32), 1.0, False, False, {}),
        (np.zeros(1, np.float32), "much", False, False, {}),
        (np.zeros(1, np.float32), 1.0, None, False, {}),
        (np.zeros(1, np.float32), 1.0, False, False, None),
        ([[1.0], [1.0, 2.0]], 1.0, False, False, {}),
        (np.array(["x"]), 1.0, False, False, {}),
    )

    def __init__(self, number):
        self.number = number

    def reset(self, *, seed=None, options=None):
        return np.full(1, self.number, np.float32), {}

    def step(self, action):
        return self.answers[self.number]


class Answers(TaskFamily):
    name = "answers"
    horizon = 3
    observation_space, action_space = Answering.observation_space, Answering.action_space
    task_space = spaces.Dict({"number": spaces.Discrete(9)})
    splits = UniformSplits(task_space)

    def make(self, task, *, render_mode=None):
        if task["number"] == 8:
            raise OSError("no such robot")
        return Answering(int(task["number"]))

    def set_task(self, env, task):
        env.number = int(task["number"])


def numbers(*values):
    return {"number": np.array(values)}


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (1, r"step returned an observation of shape \(2,\); expected \(1,\) \(step 2\)"),
        (2, r"step returned reward = 'much'; expected a number \(step 2\)"),
        (3, r"step returned terminated = None; expected true or false \(step 2\)"),
        (4, r"step returned info = None; expected a dictionary \(step 2\)"),
        (5, r"step returned observation = \[\[1\.0\], \[1\.0, 2\.0\]\]; expected an array \(step 2\)"),
        (6, r"step returned an observation of type <U1; expected float32 \(step 2\)"),
    ],
)
def test_what_an_environment_returns_is_looked_at(number, message):
    """Two tasks of two episodes: the second task goes wrong at its second step, and its first episode is named."""
    envs = SyncTaskVectorEnv(Answers(), numbers(0, 0), 2)
    envs.reset(seed=1)
    envs.step(np.zeros(4, int))
    envs.set_tasks(numbers(0, number))
    with pytest.raises(EnvironmentFault, match=f"^family 'answers', task 1, episode 0: {message}"):
        envs.step(np.zeros(4, int))


def test_sub_environments_are_task_major_and_may_be_a_part_of_all():
    envs = SyncTaskVectorEnv(Answers(), numbers(3, 5), 2)
    assert envs.reset()[0][:, 0].tolist() == [3, 3, 5, 5]
    seen = []
    part = SyncTaskVectorEnv(Answers(), numbers(0, 5), 2, indices=[1, 3], note=lambda *at: seen.append(at))
    assert part.reset()[0][:, 0].tolist() == [0, 5]
    part.set_tasks(numbers(0, 0))
    part.step(np.zeros(2, int))
    assert seen == [(1, 0), (3, 0), (1, 1), (3, 1)]
    assert env_label(Answers(), 3, 2) == "family 'answers', task 1, episode 1"
    with pytest.raises(FamilyError, match="set_tasks: expected 2 tasks; got 3"):
        part.set_tasks(numbers(0, 0, 0))


def test_an_environment_that_cannot_be_made_names_its_task():
    with pytest.raises(FamilyError, match=r"^family 'answers', task 1, episode 0: OSError: no such robot$"):
        SyncTaskVectorEnv(Answers(), numbers(0, 8), 2)


def test_variants_are_known_by_name():
    assert known_variant("answers", "short", ["short", "long"]) == "short"
    with pytest.raises(FamilyError, match=r"family 'answers': unknown variant 'shrt'.*did you mean 'short'"):
        known_variant("answers", "shrt", ["short", "long"])
