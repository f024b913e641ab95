"""T-mazes against their definition, and their references against policies that are played in them."""

import itertools

import numpy as np
import pytest
import torch

from metarl.core.errors import FamilyError
from metarl.families.analytic_env import AnalyticVecEnv
from metarl_envs.references.t_maze import random_walk
from metarl_envs.t_maze import VARIANTS, TMaze
from tests.helpers.slides import failures

FORWARD, LEFT, RIGHT = range(3)


def played(variant, task, actions, seed=0):
    env = TMaze(variant).make(task)
    seen = [env.reset(seed=seed)[0].tolist()]
    steps = []
    for action in actions:
        observation, *rest, info = env.step(action)
        seen.append(observation.tolist())
        steps.append((*rest, info["success"]))
    return seen, steps


@pytest.mark.parametrize("variant", VARIANTS)
def test_contract(variant):
    assert failures(TMaze(variant)) == {}


@pytest.mark.parametrize("side", [0, 1])
def test_a_walk_through_the_corridor(side):
    sign = [1.0 - side, float(side), 0.0]
    seen, steps = played("corridor-10", {"side": side}, [FORWARD] * 10 + [LEFT + side])
    assert seen == [sign, *[[0, 0, 0]] * 9, [0, 0, 1], [0, 0, 1]]
    assert [step[0] for step in steps] == [0.0] * 10 + [4.0]
    assert [step[1:] for step in steps] == [(False, False, False)] * 10 + [(True, False, True)]


def test_the_wrong_turn_ends_the_episode_without_success():
    _, steps = played("corridor-10", {"side": 0}, [FORWARD] * 10 + [RIGHT])
    assert steps[-1] == (pytest.approx(-0.1), True, False, False)


def test_steps_that_lead_nowhere_cost_and_change_nothing():
    """Turns before the junction, with the sign in sight, and walking on at the junction; truncated at the horizon."""
    seen, steps = played("corridor-10", {"side": 1}, [LEFT, RIGHT] + [FORWARD] * 20)
    assert seen[:3] == [[0, 1, 0]] * 3
    assert [step[0] for step in steps] == pytest.approx([-0.1] * 2 + [0] * 10 + [-0.1] * 10)
    assert seen[-1] == [0, 0, 1]
    assert steps[-1][1:] == (False, True, False)
    assert [step[2] for step in steps[:-1]] == [False] * 21


def test_lengths_horizons_and_names():
    assert {name: (v.length, TMaze(name).horizon) for name, v in VARIANTS.items()} == {
        "corridor-10": (10, 22), "corridor-50": (50, 102), "reversal-10": (10, 22),
    }  # fmt: skip
    seen, _ = played("corridor-50", {"side": 0}, [FORWARD] * 50)
    assert [observation[2] for observation in seen] == [0] * 50 + [1]
    with pytest.raises(FamilyError, match="did you mean 'corridor-50'"):
        TMaze("corridor-500")


@pytest.mark.parametrize("reversed_", [0, 1])
def test_in_the_reversal_the_side_changes_and_the_task_says_what_signs_mean(reversed_):
    sides = []
    for seed in range(40):
        for turn in (LEFT, RIGHT):
            seen, steps = played("reversal-10", {"reversed": reversed_}, [FORWARD] * 10 + [turn], seed)
            if steps[-1][3]:
                sign = int(seen[0][1])
                sides.append(turn - LEFT)
                assert (sign + reversed_) % 2 == turn - LEFT
    assert len(sides) == 40  # one of the two turns is right
    assert 8 < sum(sides) < 32


def measured(variant, name, episodes=3):
    family = TMaze(variant)
    tasks = {name: np.array([0, 1]) for name in family.task_space.spaces}
    return family.references()[name].measure(tasks, episodes, 1, np.random.default_rng(0))


def best_of(variant, decides):
    """Mean return over episodes and tasks of walking and then turning as `decides(sign)` says, in the family itself."""
    family = TMaze(variant)
    tasks = {name: np.array([0, 1]) for name in family.task_space.spaces}
    envs = AnalyticVecEnv(family, tasks, 2000)
    sign = envs.reset(torch.arange(4000).reshape(2, 2000))[..., 1].long()
    total = torch.zeros(2, 2000)
    for _ in range(family._variant.length):
        total += envs.step(torch.zeros(2, 2000, dtype=torch.int64))[1]
    return (total + envs.step(1 + decides(sign))[1]).mean(1).numpy()


@pytest.mark.parametrize(("variant", "first"), [("corridor-10", 4.0), ("corridor-50", 4.0), ("reversal-10", 1.95)])
def test_the_optimum_is_played(variant, first):
    """With the sign in mind; in the reversal the task has to be known too, as it is from the second episode on."""
    assert measured(variant, "bayes-optimal").tolist() == [[first, 4.0, 4.0]] * 2
    assert measured(variant, "oracle").tolist() == [[4.0] * 3] * 2
    task = torch.tensor([[0], [1]])
    later = best_of(variant, lambda sign: (sign + task) % 2 if variant == "reversal-10" else sign)
    np.testing.assert_allclose(later, 4.0)
    blind = best_of(variant, lambda sign: sign).mean()
    assert blind == pytest.approx(first, abs=0.1)


def test_without_memory_no_turn_is_better_than_another():
    """A policy of the observation alone has a probability p of turning left at the junction: 1.95 for every p."""
    for variant in VARIANTS:
        np.testing.assert_allclose(measured(variant, "memoryless"), 1.95)
        for turn in (0, 1):
            assert best_of(variant, lambda sign, turn=turn: torch.full_like(sign, turn)).mean() == pytest.approx(
                1.95, abs=0.1
            )


def test_random_actions_by_enumeration():
    """A corridor of two steps with a horizon of five."""
    expected = 0.0
    for actions in itertools.product(range(3), repeat=5):
        place, total = 0, 0.0
        for action in actions:
            if place == 2 and action != FORWARD:
                total += 1.95
                break
            walks = place < 2 and action == FORWARD
            place, total = place + walks, total - 0.1 * (not walks)
        expected += total / 3**5
    found = random_walk({"side": np.array([0, 1])}, 2, 1, None, length=2, horizon=5, turn=1.95, nowhere=-0.1)
    np.testing.assert_allclose(found, expected)
