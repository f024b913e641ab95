"""What a task family promises of its environments, one function a promise, as in `task_promises`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from metarl.subject import DRAWN, Broken, Skipped, Subject, same
from metarl.tasks import Task, batch_tasks
from metarl.trajectories import TOLERANCE, actions_for, difference

EPISODES = 100
"""Episodes after which a task parameter is taken to have no effect."""
STICKY = "set the task in make and set_task only, and leave it alone in reset"


def gymnasium_checker(subject: Subject) -> str:
    from gymnasium.utils.env_checker import check_env

    with subject.env(subject.task(0)) as env:
        _quietly(lambda: check_env(env, skip_render_check=True), "see gymnasium's documentation of Env")
    return "passed"


def sb3_checker(subject: Subject) -> str:
    try:
        from stable_baselines3.common.env_checker import check_env
    except ImportError:
        raise Skipped("stable-baselines3 is not installed") from None
    with subject.env(subject.task(0)) as env:
        _quietly(lambda: check_env(env, skip_render_check=True), "see stable-baselines3's page on custom environments")
    return "passed"


def spaces_constant(subject: Subject) -> str:
    family = subject.family
    for index in range(5):
        task = subject.task(index)
        with subject.env(task) as env:
            if env.action_space != family.action_space:
                raise Broken(f"action space {env.action_space} at {task}; the family's is {family.action_space}",
                             "give all tasks the same spaces")  # fmt: skip
            ours, theirs = family.observation_space, env.observation_space
            if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
                raise Broken(f"observation space {theirs} at {task}; the family's is {ours}",
                             "give all tasks the same spaces, padded where their sizes differ")  # fmt: skip
    return "the same for 5 tasks"


def values(subject: Subject) -> str:
    space = subject.family.observation_space
    with subject.env(subject.task(0)) as env:
        for number in range(4):
            episode = subject.episode(env, number)
            for step, observation in enumerate(episode.observations):
                place = f"observation after {step} steps"
                if observation.shape != space.shape or observation.dtype != space.dtype:
                    raise Broken(f"{place} is {observation.dtype} of shape {observation.shape}; "
                                 f"its space is {space}", "return what the space says")  # fmt: skip
                if not np.isfinite(observation).all():
                    raise Broken(f"{place} is not finite: {observation}", "find what overflows or divides by zero")
                if not space.contains(observation):
                    raise Broken(f"{place} is outside its bounds: {observation}", "widen observation_space, or clip")
            for step, reward in enumerate(episode.rewards):
                if not np.isfinite(reward):
                    raise Broken(
                        f"reward of step {step} is not finite: {reward}", "find what overflows or divides by zero"
                    )
    return "finite, of the right shape and dtype, within bounds over 4 episodes"


def repeatable(subject: Subject) -> str:
    task = subject.task(0)
    with subject.env(task) as env, subject.env(task) as twin:
        first = subject.episode(env)
        for other, whose in ((twin, "another environment"), (env, "the same environment")):
            parted = difference(first, subject.episode(other))
            if parted:
                raise Broken(f"{whose}, same task and seed: {parted}",
                             "draw all randomness from self.np_random, seeded by super().reset(seed=seed)")  # fmt: skip
    return "same task and seed, same episode"


def task_matters(subject: Subject) -> str:
    """Each parameter alone, changed to other tasks' values, must change reward, dynamics or observation."""
    task = subject.task(0)
    for name in subject.family.task_space.spaces:
        values = [subject.task(i)[name] for i in range(1, DRAWN)]
        others = [value for value in values if not same({name: value}, {name: task[name]})]
        if not others:
            raise Broken(f"'{name}' is the same in {DRAWN} tasks", "leave it out of task_space, or let it vary")
        with subject.env(task) as env:
            for number in range(EPISODES):
                changed = {**task, name: others[number % len(others)]}
                with subject.env(changed) as other:
                    if difference(subject.episode(env, number), subject.episode(other, number)):
                        break
            else:
                raise Broken(f"'{name}' has no effect: {EPISODES} episodes at other values were the same",
                             "let it change reward, dynamics or observation, in make and set_task alike")  # fmt: skip
    return "every parameter changes the episode"


def retasking(subject: Subject) -> str:
    a = subject.task(0)
    b = subject.other(a)
    with subject.env(a) as env, subject.env(b) as fresh:
        first = subject.episode(env)
        subject.family.set_task(env, b)
        parted = difference(subject.episode(fresh), subject.episode(env))
        if parted:
            raise Broken(f"set_task to B is not make(B): {parted}", "set all that make sets, derived quantities too")
        subject.family.set_task(env, a)
        parted = difference(first, subject.episode(env))
        if parted:
            raise Broken(
                f"task A, then B, then A again is not A: {parted}", "start from pristine values at every set_task"
            )
    return "task A, then B, then A again is A"


def sticky(subject: Subject) -> str:
    task = subject.task(0)
    with subject.env(task) as env, subject.env(task) as fresh:
        subject.episode(env)
        env.reset()
        parted = difference(subject.episode(fresh, 2), subject.episode(env, 2))
        if parted:
            raise Broken(f"the task changed at reset: {parted}", STICKY)
    with subject.env(task) as fresh:
        env = gymnasium.wrappers.Autoreset(subject.family.make(task))
        env.reset(seed=1)
        for action in actions_for(subject.family.action_space, 2 * subject.family.horizon + 2, 3):
            env.step(action)
        parted = difference(subject.episode(fresh, 4), subject.episode(env, 4))
        env.close()
        if parted:
            raise Broken(f"the task changed at autoreset: {parted}", STICKY)
    return "reset and autoreset leave the task"


def time_limit(subject: Subject) -> str:
    horizon, reached, ended = subject.family.horizon, 0, 0
    with subject.env(subject.task(0)) as env:
        for number in range(6):
            episode = subject.episode(env, number)
            steps = len(episode.rewards)
            if steps > horizon:
                raise Broken(
                    f"not truncated after {horizon} steps", "wrap it in gymnasium.wrappers.TimeLimit(env, horizon)"
                )
            if episode.end == "truncated" and steps < horizon:
                raise Broken(f"truncated after {steps} steps; the horizon is {horizon}", "make both the same")
            reached += episode.end == "truncated"
            ended += episode.end == "terminated" and steps == horizon
    # An episode of one step, as of a bandit, ends by itself: gymnasium refuses to see it truncated.
    if horizon > 1 and ended > 1 and reached == 0:
        raise Broken(
            f"terminated at the time limit of {horizon} steps", "return truncated there, and terminated = False"
        )
    return f"truncated after {horizon} steps" if reached else "no episode of random actions got that far"


def batch(subject: Subject) -> str:
    """make_vec and make agree lane by lane, ended lanes reset by mask, before and after set_tasks."""
    family = subject.family
    chosen = [subject.task(i) for i in range(3)]
    seeds = list(range(50, 56))
    vector = family.make_vec(batch_tasks(chosen), 2)
    try:
        if vector.num_envs != 6:
            raise Broken(f"{vector.num_envs} lanes for 3 tasks x 2 episodes", "make a lane for each, task-major")
        _compare_lanes(subject, vector, [chosen[i // 2] for i in range(6)], seeds, "make_vec")
        if hasattr(vector, "set_tasks"):
            vector.set_tasks(batch_tasks(chosen[::-1]))
            _compare_lanes(subject, vector, [chosen[2 - i // 2] for i in range(6)], seeds, "set_tasks")
    finally:
        vector.close()
    return "make and make_vec agree"


def _compare_lanes(subject: Subject, vector: Any, lane_tasks: list[Task], seeds: list[int], method: str) -> None:
    family, steps = subject.family, min(subject.family.horizon, 100) + 3
    singles = [family.make(task) for task in lane_tasks]
    actions = [actions_for(family.action_space, steps, i) for i in range(len(singles))]

    def agree(lane: int, step: int, ours: Any, theirs: Any, what: str) -> None:
        if not np.allclose(ours, theirs, **TOLERANCE, equal_nan=True):
            raise Broken(f"{method}, lane {lane} (task {lane // 2}), step {step}: {what} is {theirs}; "
                         f"make(task) has {ours}",
                         "step the lanes in task-major order with the dynamics of make")  # fmt: skip

    try:
        observations, _ = vector.reset(seed=seeds)
        for lane, env in enumerate(singles):
            agree(lane, 0, env.reset(seed=seeds[lane])[0], observations[lane], "observation")
        for step in range(steps):
            observations, rewards, terminated, truncated, _ = vector.step(np.stack([a[step] for a in actions]))
            for lane, env in enumerate(singles):
                single = env.step(actions[lane][step])
                pairs = zip(single[:4], (observations, rewards, terminated, truncated), strict=True)
                for what, (ours, theirs) in zip(
                    ("observation", "reward", "terminated", "truncated"), pairs, strict=True
                ):
                    agree(lane, step, ours, theirs[lane], what)
            ended = np.asarray(terminated | truncated)
            if ended.any():
                observations, _ = vector.reset(seed=seeds, options={"reset_mask": ended.copy()})
                for lane in (int(i) for i in np.flatnonzero(ended)):
                    agree(
                        lane, step, singles[lane].reset(seed=seeds[lane])[0], observations[lane], "reset's observation"
                    )
    finally:
        for env in singles:
            env.close()


def workers(subject: Subject) -> str:
    """Families that run in worker processes travel there by pickle."""
    import cloudpickle

    from metarl.sync_lanes import SyncLaneEnv

    family, task = subject.family, subject.task(0)
    vector = family.make_vec(batch_tasks([task]), 1)
    vector.close()
    if not isinstance(vector.unwrapped, SyncLaneEnv):
        raise Skipped("it steps its lanes itself, so no worker needs it")
    mend = "open files, locks and generators when an environment is made, not in the family"
    try:
        copied = cloudpickle.loads(cloudpickle.dumps(family))
    except Exception as error:
        raise Broken(f"{type(error).__name__}: {error}", mend) from error
    with subject.env(task) as env, Subject(copied).env(task) as theirs:
        parted = difference(subject.episode(env), subject.episode(theirs))
        if parted:
            raise Broken(f"a copy behaves otherwise: {parted}", mend)
    return "a copy for a worker behaves the same"


def _quietly(check: Callable[[], None], mend: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            check()
        except Exception as error:
            raise Broken(f"{type(error).__name__}: {error}", mend) from error
