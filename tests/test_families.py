import json

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from metarl.core.errors import FamilyError
from metarl.families.declared import declare_family
from metarl.families.observe_task import ObserveTask
from metarl.families.registry import load_family, registered
from metarl.families.splits import ListedSplits, UniformSplits, shared_splits
from metarl.families.tasks import (
    batch_tasks,
    number_of_tasks,
    parse_task,
    read_tasks,
    task_at,
    task_vectors,
    write_tasks,
)


def pendulum(**options):
    return declare_family(
        "Pendulum-v1", spaces.Dict({"g": spaces.Box(5.0, 15.0, ()), "m": spaces.Box(0.5, 2.0, ())}), **options
    )


def draw(family, n, split, seed=0):
    return family.sample_tasks(n, split, np.random.default_rng(seed))


def test_declared_family_sets_attributes_and_keeps_them_over_resets():
    family = pendulum()
    env = family.make({"g": np.float32(7), "m": np.float32(1.5)})
    assert family.horizon == 200
    for _ in range(2):
        env.reset(seed=1)
        assert (env.unwrapped.g, env.unwrapped.m) == (7.0, 1.5)
    family.set_task(env, {"g": np.float32(9), "m": np.float32(0.5)})
    assert (env.unwrapped.g, env.unwrapped.m) == (9.0, 0.5)
    assert env.action_space == spaces.Box(-1, 1, (1,))


def test_task_a_then_b_then_a_again_is_a():
    family = pendulum()
    a, b = ({"g": np.float32(g), "m": np.float32(m)} for g, m in ((6, 1), (14, 2)))

    def run(env):
        _observation, _ = env.reset(seed=3)
        return [env.step(np.array([0.5], np.float32))[0] for _ in range(30)]

    env = family.make(a)
    first = run(env)
    family.set_task(env, b)
    second = run(env)
    family.set_task(env, a)
    np.testing.assert_array_equal(run(env), first)
    assert not np.allclose(first, second)


class Corridor(gymnasium.Env):
    """Reward is the length that only the constructor knows; observations are nested."""

    observation_space = spaces.Dict({"place": spaces.Discrete(3), "speed": spaces.Box(-1, 1, (2,))})
    action_space = spaces.Discrete(2)

    def __init__(self, size=1):
        self._size = size

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return {"place": 1, "speed": np.zeros(2, np.float32)}, {}

    def step(self, action):
        return {"place": 2, "speed": np.ones(2, np.float32)}, float(self._size), False, False, {}


def test_declared_family_rebuilds_for_constructor_arguments_and_flattens():
    family = declare_family(Corridor, spaces.Dict({"size": spaces.Discrete(5, start=1)}), horizon=3)
    assert family.observation_space.shape == (5,)
    env = family.make({"size": np.int64(2)})
    env.reset()
    assert env.step(0)[1] == 2
    family.set_task(env, {"size": np.int64(4)})
    observation, _ = env.reset()
    assert observation.tolist() == [0, 1, 0, 0, 0]
    assert [env.step(0)[3] for _ in range(3)] == [False, False, True]
    assert env.step(0)[1] == 4


def test_declared_family_with_a_function_that_sets_the_task():
    def physics(env, task):
        env.masspole = float(task["masspole"])
        env.total_mass = env.masspole + env.masscart
        env.polemass_length = env.masspole * env.length

    family = declare_family("CartPole-v1", spaces.Dict({"masspole": spaces.Box(0.05, 0.5, ())}), set_task=physics)
    env = family.make({"masspole": np.float32(0.5)})
    assert env.unwrapped.total_mass == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: declare_family("Pendulum-v1", spaces.Dict({"gg": spaces.Box(1, 2, ())})).observation_space,
            "'gg' is neither",
        ),
        (
            lambda: declare_family("Pendulum-v77", spaces.Dict({"g": spaces.Box(1, 2, ())})).observation_space,
            "Pendulum-v77",
        ),
        (
            lambda: declare_family(Corridor, spaces.Dict({"size": spaces.Discrete(2)})).horizon,
            "horizon = None",
        ),
        (lambda: declare_family("Pendulum-v1", spaces.Box(0, 1)), "task_space"),
        (lambda: declare_family("Pendulum-v1", spaces.Dict({"g": spaces.Box(0, np.inf, ())})), "no bounds"),
        (lambda: load_family("navigation2D"), "did you mean 'navigation2d'"),
        (lambda: load_family("navigation2d", "fin17"), "did you mean 'finn17'"),
        (lambda: load_family("test_families:nothing"), "no 'nothing'"),
        (lambda: load_family("no_such_module:family"), "no_such_module"),
        (lambda: load_family("test_families:Corridor"), "expected a TaskFamily"),
        (lambda: load_family("test_families:PENDULUM", "heavy"), "has no variants"),
    ],
)
def test_what_is_wrong_is_said(make, message):
    with pytest.raises(FamilyError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


PENDULUM = pendulum()


def test_families_are_found_by_entry_point_and_by_module():
    assert "navigation2d" in registered()
    assert load_family("navigation2d").variant == "finn17"
    assert load_family("test_families:PENDULUM") is PENDULUM
    assert load_family("test_families:pendulum").horizon == 200


def test_splits_are_disjoint_and_reproducible(family):
    drawn = {}
    for i, split in enumerate(family.splits.names):
        tasks = draw(family, 500, split, seed=i)
        np.testing.assert_array_equal(tasks["goal"], draw(family, 500, split, seed=i)["goal"])
        drawn[split] = {tuple(goal) for goal in tasks["goal"]}
        assert len(drawn[split]) == 500
    names = list(drawn)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            assert not drawn[a] & drawn[b]


def test_out_of_distribution_lies_outside_the_training_range(family):
    goals = draw(family, 300, "out-of-distribution")["goal"]
    assert (np.abs(goals).max(1) > 0.5).all()
    assert np.abs(goals).max() <= 1
    with pytest.raises(FamilyError, match="unknown split"):
        draw(pendulum(), 3, "out-of-distribution")


def test_listed_and_shared_splits():
    tasks = [{"d": np.int64(i)} for i in range(4)]
    listed = ListedSplits({"meta-train": tasks[:3], "meta-test": tasks[3:]})
    assert sorted(listed.sample(6, "meta-train", np.random.default_rng(0))["d"]) == [0, 0, 1, 1, 2, 2]
    assert listed.sample(2, "meta-test", np.random.default_rng(0))["d"].tolist() == [3, 3]
    assert listed.kind == "disjoint"
    assert shared_splits(tasks).kind == "shared"
    with pytest.raises(FamilyError, match="unknown split 'test'"):
        listed.sample(1, "test", np.random.default_rng(0))


def test_discrete_and_integer_entries_are_drawn_within_their_space():
    space = spaces.Dict({"d": spaces.Discrete(3, start=5), "n": spaces.Box(1, 4, (2,), np.int64)})
    tasks = UniformSplits(space).sample(200, "meta-train", np.random.default_rng(0))
    assert set(tasks["d"]) == {5, 6, 7}
    assert set(tasks["n"].flatten()) == {1, 2, 3, 4}


def test_continuous_tasks_are_drawn_number_by_number_in_the_order_of_tasks():
    space = spaces.Dict({"x": spaces.Box(-1, 3, (2,)), "y": spaces.Box(0.0, 5.0, (), np.float64)})
    tasks, rng = UniformSplits(space).sample(7, "meta-train", np.random.default_rng(4)), np.random.default_rng(4)
    assert {name: values.dtype for name, values in tasks.items()} == {"x": np.float32, "y": np.float64}
    for task in range(7):
        assert tasks["x"][task].tolist() == [np.float32(rng.uniform(-1, 3)) for _ in range(2)]
        assert tasks["y"][task] == rng.uniform(0, 5)


def test_tasks_survive_json_and_files(tmp_path, family):
    tasks = draw(family, 5, "meta-test")
    path = tmp_path / "tasks.json"
    write_tasks(path, family.task_space, tasks)
    np.testing.assert_array_equal(read_tasks(path, family.task_space)["goal"], tasks["goal"])
    assert json.loads(path.read_text())[0].keys() == {"goal"}
    path.write_text("[{}")
    with pytest.raises(FamilyError, match="cannot be read"):
        read_tasks(path, family.task_space)


@pytest.mark.parametrize(
    "value", [[1], {"goal": [1]}, {"goal": "x"}, {}, {"goal": [5, 5]}, {"goal": None}, {"goals": [0, 0]}]
)
def test_tasks_that_are_none(family, value):
    with pytest.raises(FamilyError):
        parse_task(family.task_space, value)


def test_task_vectors_and_batches():
    space = spaces.Dict({"a": spaces.Box(-1, 1, (2,)), "b": spaces.Discrete(3)})
    tasks = batch_tasks([{"a": np.zeros(2), "b": 1}, {"a": np.ones(2), "b": 2}])
    assert number_of_tasks(tasks) == 2
    assert task_at(tasks, 1)["b"] == 2
    assert task_vectors(space, tasks).tolist() == [[0, 0, 0, 1, 0], [1, 1, 0, 0, 1]]


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


def test_families_over_discrete_tasks_say_that_their_splits_share_them():
    assert UniformSplits(spaces.Dict({"d": spaces.Discrete(3)})).kind == "shared"
    assert UniformSplits(spaces.Dict({"d": spaces.Discrete(3), "x": spaces.Box(0, 1, ())})).kind == "disjoint"
    one = [{"d": np.int64(1)}]
    with pytest.raises(FamilyError, match="is in meta-train and in meta-test"):
        ListedSplits({"meta-train": one, "meta-test": one})
    assert ListedSplits({"meta-train": one, "meta-test": one}, kind="shared").kind == "shared"


def test_a_training_range_lies_within_the_task_space():
    wide, narrow = (spaces.Dict({"x": spaces.Box(0.0, high, ())}) for high in (2.0, 1.0))
    with pytest.raises(FamilyError, match="reaches out of task_space"):
        UniformSplits(narrow, wide)
    with pytest.raises(FamilyError, match="expected the entries x"):
        UniformSplits(narrow, spaces.Dict({"y": spaces.Box(0.0, 1.0, ())}))


def test_more_tasks_begin_with_the_same_ones():
    few, many = (draw(pendulum(), n, "meta-test") for n in (3, 6))
    for name in ("g", "m"):
        np.testing.assert_array_equal(few[name], many[name][:3])


@pytest.mark.parametrize("value", [1.7, "2", 1e400, None, [1, 2]])
def test_discrete_entries_take_whole_numbers_only(value):
    with pytest.raises(FamilyError):
        parse_task(spaces.Dict({"d": spaces.Discrete(5)}), {"d": value})


def test_a_run_directory_cannot_name_any_function_as_its_family():
    for name in ("os:getcwd", "os:abort", "subprocess:run", "test_families:np"):
        with pytest.raises(FamilyError, match="expected a TaskFamily, or a function of"):
            load_family(name)


def test_an_environment_that_cannot_be_built_is_said():
    def broken(k=0):
        raise OSError("no such robot")

    family = declare_family(broken, spaces.Dict({"k": spaces.Discrete(2)}), horizon=3)
    with pytest.raises(FamilyError, match="OSError: no such robot"):
        _ = family.observation_space
