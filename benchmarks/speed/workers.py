"""Processor time of a declared family's sub-environments beside gymnasium's own SyncVectorEnv, 400 of each.

`python -m benchmarks.speed workers` prints the ratio for Pendulum and Acrobot.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from benchmarks.speed.harness import TaskOptions, cpu_envs, in_turns, run_benchmark
from metarl.families.declared import declare_family
from metarl.families.vec_env import VecEnv

VARIED = {"Pendulum-v1": ("g", 5.0, 15.0), "Acrobot-v1": ("LINK_MASS_1", 0.7, 1.4)}
"""The attribute of each environment that tasks vary, and its bounds."""


@dataclass(frozen=True)
class Options(TaskOptions):
    """Measure the cost of stepping ordinary environments."""

    steps: int = 50
    """Steps of all sub-environments in a repetition."""
    repetitions: int = 5
    """Repetitions in turns; the least processor time counts."""


def measure(options: Options) -> dict[str, dict[str, float]]:
    """Number of sub-environments and ratio of processor times, by environment."""
    envs = options.tasks * options.episodes
    return {name: {"envs": envs, "ratio": ratio(name, options)} for name in VARIED}


def ratio(name: str, options: Options) -> float:
    """Processor time of a declared family over that of gymnasium's vector environment, under the same actions."""
    entry, low, high = VARIED[name]
    family = declare_family(name, spaces.Dict({entry: spaces.Box(low, high, ())}), horizon=10 * options.steps)
    envs = cpu_envs(family, options)
    discrete = isinstance(family.action_space, spaces.Discrete)
    actions = random_actions(options, discrete)

    def stock_environment() -> gymnasium.Env:
        env = gymnasium.make(name, disable_env_checker=True)
        return env if discrete else gymnasium.wrappers.RescaleAction(env, np.float32(-1), np.float32(1))

    number = options.tasks * options.episodes
    stock = SyncVectorEnv([stock_environment] * number, autoreset_mode=AutoresetMode.DISABLED)
    found = in_turns(
        {"metarl": partial(seconds, envs, actions), "gymnasium": partial(stock_seconds, stock, actions)},
        options.repetitions,
    )
    envs.close()
    stock.close()
    return min(found["metarl"]) / min(found["gymnasium"])


def random_actions(options: Options, discrete: bool) -> list[torch.Tensor]:
    """Actions (tasks, episodes) of three kinds, or (tasks, episodes, 1) from -1 to 1, for every step."""
    shape, generator = (options.tasks, options.episodes), torch.Generator().manual_seed(0)
    if discrete:
        return [torch.randint(0, 3, shape, generator=generator) for _ in range(options.steps)]
    return [torch.rand(*shape, 1, generator=generator) * 2 - 1 for _ in range(options.steps)]


def seconds(envs: VecEnv, actions: Sequence[torch.Tensor]) -> float:
    """Processor time of the steps after a reset."""
    envs.reset(torch.arange(envs.tasks * envs.episodes).reshape(envs.tasks, envs.episodes) << 33)
    start = time.process_time()
    for action in actions:
        envs.step(action)
    return time.process_time() - start


def stock_seconds(envs: SyncVectorEnv, actions: Sequence[torch.Tensor]) -> float:
    """The same of gymnasium's vector environment."""
    envs.reset(seed=0)
    start = time.process_time()
    for action in actions:
        envs.step(action.flatten(0, 1).numpy())
    return time.process_time() - start


def report(result: dict[str, dict[str, float]]) -> str:
    """A line for each environment."""
    return "\n".join(
        f"{name}: {found['envs']} sub-environments cost {found['ratio']:.2f} times gymnasium's vector environment"
        for name, found in result.items()
    )


main = partial(run_benchmark, "workers", Options, measure, report)
