"""What a declared family's lanes cost beside gymnasium's own SyncVectorEnv, in processor time, 400 of each.

`python -m benchmarks.speed.workers` prints the ratio for Pendulum and Acrobot; wanted is at most 1.3.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import gymnasium
import numpy as np
import torch
import tyro
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from metarl.families.declared import declare_family
from metarl.families.vec_env import make_vec_env

VARIED = {"Pendulum-v1": ("g", 5.0, 15.0), "Acrobot-v1": ("LINK_MASS_1", 0.7, 1.4)}


@dataclass(frozen=True)
class Options:
    """Measure what lanes over ordinary environments cost."""

    tasks: int = 20
    """Tasks."""
    episodes: int = 20
    """Episode lanes of each."""
    steps: int = 50
    """Steps of all lanes in a repetition."""
    repetitions: int = 5
    """Repetitions; the least processor time counts."""


def ratio(name: str, options: Options) -> float:
    """Processor time of our lanes over that of gymnasium's vector environment, under the same actions."""
    entry, low, high = VARIED[name]
    family = declare_family(name, spaces.Dict({entry: spaces.Box(low, high, ())}), horizon=10 * options.steps)
    tasks = family.sample_tasks(options.tasks, "meta-train", np.random.default_rng(0))
    envs = make_vec_env(family, tasks, options.episodes, device="cpu", dtype=torch.float32)
    shape = (options.tasks, options.episodes)
    discrete = isinstance(family.action_space, spaces.Discrete)
    generator = torch.Generator().manual_seed(0)
    actions = [
        torch.randint(0, 3, shape, generator=generator)
        if discrete
        else torch.rand(*shape, 1, generator=generator) * 2 - 1
        for _ in range(options.steps)
    ]
    seeds = torch.arange(options.tasks * options.episodes).reshape(shape) << 33

    def stock_environment() -> gymnasium.Env:
        env = gymnasium.make(name, disable_env_checker=True)
        return env if discrete else gymnasium.wrappers.RescaleAction(env, np.float32(-1), np.float32(1))

    stock = SyncVectorEnv([stock_environment] * (shape[0] * shape[1]), autoreset_mode=AutoresetMode.DISABLED)
    ours, theirs = [], []
    for _ in range(options.repetitions):
        envs.reset(seeds)
        start = time.process_time()
        for action in actions:
            envs.step(action)
        ours.append(time.process_time() - start)
        stock.reset(seed=0)
        start = time.process_time()
        for action in actions:
            stock.step(action.flatten(0, 1).numpy())
        theirs.append(time.process_time() - start)
    envs.close()
    stock.close()
    return min(ours) / min(theirs)


def main(arguments: list[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments)
    for name in VARIED:
        found = ratio(name, options)
        envs = options.tasks * options.episodes
        print(f"{name}: {envs} lanes cost {found:.2f} times gymnasium's vector environment, wanted at most 1.3")


if __name__ == "__main__":
    main()
