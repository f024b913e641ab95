import numpy as np
from gymnasium.utils.env_checker import check_env

from metarl.families.observe_task import ObserveTask, ShowTasks
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


def test_an_oracle_can_be_told_the_tasks_of_others():
    """The environments keep their tasks; only what is appended to the observations is another one."""
    tasks = {"g": np.array([7.0, 9.0]), "m": np.array([1.5, 1.0])}
    family = ShowTasks(pendulum(), lambda given: {**given, "g": given["g"][::-1]})
    vector = family.make_vec(tasks, 1)
    told = vector.reset(seed=[1, 2])[0]
    assert told[:, 3:].tolist() == [[9.0, 1.5], [7.0, 1.0]]
    plain = ObserveTask(pendulum()).make_vec(tasks, 1)
    right = plain.reset(seed=[1, 2])[0]
    for _ in range(3):
        assert (told[:, :3] == right[:, :3]).all()
        told, right = (each.step(np.ones((2, 1), np.float32))[0] for each in (vector, plain))
    vector.set_tasks({"g": np.array([8.0, 6.0]), "m": np.array([1.0, 2.0])})
    assert vector.reset(seed=[1, 2])[0][:, 3:].tolist() == [[6.0, 1.0], [8.0, 2.0]]
    vector.close()
    plain.close()
