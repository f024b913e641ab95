import numpy as np
import pytest
from gymnasium import spaces

import metarl
import metarl.core.errors
from metarl.families.declared import declare_family
from metarl.sb3.environments import LearningEnv

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")


def test_environments_go_from_task_to_task_and_count_actions_from_zero():
    import gymnasium

    class Counting(gymnasium.Env):
        observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        action_space = spaces.Discrete(3, start=5)
        size = 0.0

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.full(1, self.size, np.float32), {}

        def step(self, action):
            assert 5 <= action < 8, action
            return np.full(1, action, np.float32), 0.0, False, False, {}

    family = declare_family(lambda: Counting(), spaces.Dict({"size": spaces.Box(0, 9, ())}), horizon=4, name="counting")
    env = LearningEnv(family, {"size": np.array([1.0, 2.0, 3.0])}, 1)
    assert [float(env.reset()[0][0]) for _ in range(4)] == [2.0, 3.0, 1.0, 2.0]
    assert env.action_space == spaces.Discrete(3)
    assert float(env.step(2)[0][0]) == 7.0
    with pytest.raises(
        metarl.core.errors.EnvironmentFault, match=r"family 'counting', task 1: step raised AssertionError: 8"
    ):
        env.step(3)
