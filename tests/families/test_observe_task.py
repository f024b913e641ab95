import numpy as np
from gymnasium.utils.env_checker import check_env

from metarl.families.observe_task import ObserveTask
from tests.helpers.families import draw, pendulum


def test_observing_the_task_on_any_environment():
    family = ObserveTask(pendulum())
    env = family.make({"g": np.float32(7), "m": np.float32(1.5)})
    check_env(env, skip_render_check=True)
    assert env.reset()[0][3:].tolist() == [7.0, 1.5]
    family.set_task(env, {"g": np.float32(8), "m": np.float32(1)})
    assert env.reset()[0][3:].tolist() == [8.0, 1.0]
    vector = family.make_vec(draw(family, 2, "meta-train"), 2)
    assert vector.reset(seed=1)[0].shape == (4, 5)
    vector.close()
