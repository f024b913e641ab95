"""Checks of a task family's environments, with the conventions of `task_checks`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl.families.checks.trajectories import TOLERANCE, actions_for, difference
from metarl.families.checks.under_test import DRAWN, CheckFailed, CheckSkipped, UnderTest, same
from metarl.families.tasks import Task, batch_tasks

EPISODES = 100
"""Episodes that are compared at least before a task parameter counts as having no effect."""

KEPT = 20
"""Environments at other values that are open at once."""

STEPS = 10_000
"""Steps that are compared at least: an effect may need a rare event, and short episodes have few chances of it."""

STICKY = (
    "set the task in make and set_task only, and leave it alone in reset; a simulator that keeps traces of the last "
    "episode differs here too, and has to be built anew"
)


def gymnasium_checker(under_test: UnderTest) -> str:
    """gymnasium's own environment checker passes."""
    from gymnasium.utils.env_checker import check_env

    with under_test.env(under_test.task(0)) as env:
        _quietly(lambda: check_env(env, skip_render_check=True), "see gymnasium's documentation of Env")
    return "passed"


def sb3_checker(under_test: UnderTest) -> str:
    """Stable-Baselines3's environment checker passes."""
    try:
        from stable_baselines3.common.env_checker import check_env
    except ImportError:
        raise CheckSkipped("stable-baselines3 is not installed") from None
    if isinstance(under_test.family.action_space, spaces.Tuple):
        raise CheckSkipped("Stable-Baselines3 has no actions in tuples")
    with under_test.env(under_test.task(0)) as env:
        # The checker asks goal environments for their dictionaries of goals, which a family has flattened.
        checked = _WithoutGoals(env) if hasattr(env.unwrapped, "compute_reward") else env
        hint = "see stable-baselines3's page on custom environments"
        _quietly(lambda: check_env(checked, skip_render_check=True), hint)
    return "passed"


class _WithoutGoals(gymnasium.Env):
    """An environment that hides the one inside it, with its goals."""

    def __init__(self, env: gymnasium.Env) -> None:
        self.inside = env
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        return self.inside.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        return self.inside.step(action)


def spaces_constant(under_test: UnderTest) -> str:
    """Environments of all tasks have the family's spaces."""
    family = under_test.family
    for index in range(5):
        task = under_test.task(index)
        with under_test.env(task) as env:
            if env.action_space != family.action_space:
                raise CheckFailed(f"action space {env.action_space} at {task}; the family's is {family.action_space}",
                             "give all tasks the same spaces")  # fmt: skip
            ours, theirs = family.observation_space, env.observation_space
            if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
                raise CheckFailed(f"observation space {theirs} at {task}; the family's is {ours}",
                             "give all tasks the same spaces, padded where their sizes differ")  # fmt: skip
    return "the same for 5 tasks"


def values(under_test: UnderTest) -> str:
    """Observations are in their space, and observations and rewards are finite."""
    space = under_test.family.observation_space
    with under_test.env(under_test.task(0)) as env:
        for number in range(4):
            episode = under_test.episode(env, number)
            for step, observation in enumerate(episode.observations):
                place = f"observation after {step} steps"
                if observation.shape != space.shape or observation.dtype != space.dtype:
                    raise CheckFailed(f"{place} is {observation.dtype} of shape {observation.shape}; "
                                 f"its space is {space}", "return the shape and dtype of the space")  # fmt: skip
                if not np.isfinite(observation).all():
                    raise CheckFailed(f"{place} is not finite: {observation}", "find what overflows or divides by zero")
                if not space.contains(observation):
                    raise CheckFailed(
                        f"{place} is outside its bounds: {observation}", "widen observation_space, or clip"
                    )
            for step, reward in enumerate(episode.rewards):
                if not np.isfinite(reward):
                    raise CheckFailed(
                        f"reward of step {step} is not finite: {reward}", "find what overflows or divides by zero"
                    )
    return "finite, of the right shape and dtype, within bounds over 4 episodes"


def repeatable(under_test: UnderTest) -> str:
    """The same task, seed and actions give the same episode."""
    task = under_test.task(0)
    with under_test.env(task) as env, under_test.env(task) as twin:
        first = under_test.episode(env)
        for other, whose in ((twin, "another environment"), (env, "the same environment")):
            parted = difference(first, under_test.episode(other))
            if parted:
                raise CheckFailed(f"{whose}, same task and seed: {parted}",
                             "draw all randomness from self.np_random, seeded by super().reset(seed=seed)")  # fmt: skip
    return "same task and seed, same episode"


def task_matters(under_test: UnderTest) -> str:
    """A change of any single task parameter changes reward, dynamics or observation."""
    task = under_test.task(0)
    for name in under_test.family.task_space.spaces:
        values = [under_test.task(i)[name] for i in range(1, DRAWN)]
        others = [value for value in values if not same({name: value}, {name: task[name]})]
        if not others:
            raise CheckFailed(f"'{name}' is the same in {DRAWN} tasks", "leave it out of task_space, or let it vary")
        episodes = _episodes_without_effect(under_test, task, name, others)
        if episodes is not None:
            raise CheckFailed(f"'{name}' has no effect in {episodes:,} episodes of random actions at other values",
                         "let it change reward, dynamics or observation, in make and set_task alike; "
                         "if its effect needs a rare event, this failure can be ignored")  # fmt: skip
    return "every parameter changes the episode"


def _episodes_without_effect(under_test: UnderTest, task: Task, name: str, others: list[Any]) -> int | None:
    """Number of episodes that were the same at other values of a parameter; None if one differed."""
    steps, number, kept = 0, 0, []
    with under_test.env(task) as env, ExitStack() as held:
        while number < EPISODES or steps < STEPS:
            if number < KEPT:
                other = held.enter_context(under_test.env({**task, name: others[number % len(others)]}))
                kept.append(other)
            else:
                other = kept[number % KEPT]
            episode = under_test.episode(env, number)
            if difference(episode, under_test.episode(other, number)):
                return None
            steps += len(episode.rewards)
            number += 1
    return number


def retasking(under_test: UnderTest) -> str:
    """`set_task` gives the same environment as `make`."""
    a = under_test.task(0)
    b = under_test.other(a)
    with under_test.env(a) as env, under_test.env(b) as fresh:
        first = under_test.episode(env)
        under_test.family.set_task(env, b)
        parted = difference(under_test.episode(fresh), under_test.episode(env))
        if parted:
            raise CheckFailed(
                f"set_task to B is not make(B): {parted}", "set all that make sets, derived quantities too"
            )
        under_test.family.set_task(env, a)
        parted = difference(first, under_test.episode(env))
        if parted:
            raise CheckFailed(
                f"task A, then B, then A again is not A: {parted}", "start from pristine values at every set_task"
            )
    return "task A, then B, then A again is A"


def sticky(under_test: UnderTest) -> str:
    """A reset, also an automatic one, keeps the task."""
    task = under_test.task(0)
    with under_test.env(task) as env, under_test.env(task) as fresh:
        under_test.episode(env)
        env.reset()
        parted = difference(under_test.episode(fresh, 2), under_test.episode(env, 2))
        if parted:
            raise CheckFailed(f"an episode and a reset change the next episode: {parted}", STICKY)
    with under_test.env(task) as fresh:
        env = gymnasium.wrappers.Autoreset(under_test.family.make(task))
        env.reset(seed=1)
        for action in actions_for(under_test.family.action_space, 2 * under_test.family.horizon + 2, 3):
            env.step(action)
        parted = difference(under_test.episode(fresh, 4), under_test.episode(env, 4))
        env.close()
        if parted:
            raise CheckFailed(f"an autoreset changes the next episode: {parted}", STICKY)
    return "reset and autoreset leave the task"


def time_limit(under_test: UnderTest) -> str:
    """Episodes are truncated, not terminated, at the horizon."""
    horizon, reached, ended = under_test.family.horizon, 0, 0
    with under_test.env(under_test.task(0)) as env:
        for number in range(6):
            episode = under_test.episode(env, number)
            steps = len(episode.rewards)
            if steps > horizon:
                raise CheckFailed(
                    f"not truncated after {horizon} steps", "wrap it in gymnasium.wrappers.TimeLimit(env, horizon)"
                )
            if episode.end == "truncated" and steps < horizon:
                raise CheckFailed(f"truncated after {steps} steps; the horizon is {horizon}", "make both the same")
            reached += episode.end == "truncated"
            ended += episode.end == "terminated" and steps == horizon
    # Episodes of one step (bandits) terminate, since gymnasium's checker rejects a truncation at the first step.
    if horizon > 1 and ended > 1 and reached == 0:
        raise CheckFailed(
            f"terminated at the time limit of {horizon} steps", "return truncated there, and terminated = False"
        )
    return f"truncated after {horizon} steps" if reached else "no episode of random actions got that far"


def batch(under_test: UnderTest) -> str:
    """Every sub-environment of `make_vec` behaves as `make`, with resets by mask, before and after `set_tasks`."""
    family = under_test.family
    chosen = [under_test.task(i) for i in range(3)]
    seeds = list(range(50, 56))
    vector = family.make_vec(batch_tasks(chosen), 2)
    try:
        if vector.num_envs != 6:
            raise CheckFailed(
                f"{vector.num_envs} sub-environments for 3 tasks x 2 episodes", "make one for each, in task-major order"
            )
        _compare_envs(under_test, vector, [chosen[i // 2] for i in range(6)], seeds, "make_vec")
        if hasattr(vector, "set_tasks"):
            vector.set_tasks(batch_tasks(chosen[::-1]))
            _compare_envs(under_test, vector, [chosen[2 - i // 2] for i in range(6)], seeds, "set_tasks")
    finally:
        vector.close()
    return "make and make_vec agree"


def _batch(actions: list[Any]) -> Any:
    """Actions of several sub-environments as one; those of a Tuple part by part."""
    if isinstance(actions[0], tuple):
        return tuple(np.stack(part) for part in zip(*actions, strict=True))
    return np.stack(actions)


def _compare_envs(under_test: UnderTest, vector: Any, env_tasks: list[Task], seeds: list[int], method: str) -> None:
    family, steps = under_test.family, min(under_test.family.horizon, 100) + 3
    singles = [family.make(task) for task in env_tasks]
    actions = [actions_for(family.action_space, steps, i) for i in range(len(singles))]

    def agree(env_index: int, step: int, ours: Any, theirs: Any, what: str) -> None:
        if not np.allclose(ours, theirs, **TOLERANCE, equal_nan=True):
            place = f"{method}, sub-environment {env_index} (task {env_index // 2}), step {step}"
            raise CheckFailed(f"{place}: {what} is {theirs}; make(task) has {ours}",
                         "step sub-environments in task-major order with the dynamics of make")  # fmt: skip

    try:
        observations, _ = vector.reset(seed=seeds)
        for env_index, env in enumerate(singles):
            agree(env_index, 0, env.reset(seed=seeds[env_index])[0], observations[env_index], "observation")
        for step in range(steps):
            observations, rewards, terminated, truncated, _ = vector.step(_batch([a[step] for a in actions]))
            for env_index, env in enumerate(singles):
                single = env.step(actions[env_index][step])
                pairs = zip(single[:4], (observations, rewards, terminated, truncated), strict=True)
                for what, (ours, theirs) in zip(
                    ("observation", "reward", "terminated", "truncated"), pairs, strict=True
                ):
                    agree(env_index, step, ours, theirs[env_index], what)
            ended = np.asarray(terminated | truncated)
            if ended.any():
                observations, _ = vector.reset(seed=seeds, options={"reset_mask": ended.copy()})
                for env_index in (int(i) for i in np.flatnonzero(ended)):
                    agree(
                        env_index,
                        step,
                        singles[env_index].reset(seed=seeds[env_index])[0],
                        observations[env_index],
                        "reset's observation",
                    )
    finally:
        for env in singles:
            env.close()


def workers(under_test: UnderTest) -> str:
    """A family whose environments can run in worker processes can be pickled, and its copy behaves the same."""
    import cloudpickle

    from metarl.families.family import SyncTaskVectorEnv

    family, task = under_test.family, under_test.task(0)
    vector = family.make_vec(batch_tasks([task]), 1)
    vector.close()
    if not isinstance(vector.unwrapped, SyncTaskVectorEnv):
        raise CheckSkipped("its vector environment steps all sub-environments itself, without workers")
    hint = "open files, locks and generators when an environment is made, not in the family"
    try:
        copied = cloudpickle.loads(cloudpickle.dumps(family))
    except Exception as error:
        raise CheckFailed(f"{type(error).__name__}: {error}", hint) from error
    with under_test.env(task) as env, UnderTest(copied).env(task) as theirs:
        parted = difference(under_test.episode(env), under_test.episode(theirs))
        if parted:
            raise CheckFailed(f"a copy behaves otherwise: {parted}", hint)
    return "a copy for a worker behaves the same"


def _quietly(check: Callable[[], None], hint: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            check()
        except Exception as error:
            raise CheckFailed(f"{type(error).__name__}: {error}", hint) from error
