"""Environment steps a second of RL2, learning included, beside RecurrentPPO of sb3-contrib on the same trials.

`python -m benchmarks.speed memory` trains both on grid navigation, in turns: trials of four episodes of 15 steps, 64
recurrent units, 32 hidden ones, and two epochs of four minibatches. RecurrentPPO has one environment for each trial and
an LSTM that policy and value function share, as RL2's do. Needs the extra `sb3` and an otherwise idle machine.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmarks.speed.harness import WARM_UP, BenchmarkOptions, in_turns, machine, machine_line, run_benchmark
from metarl.config.memory import MemoryPolicyConfig, Rl2Config
from metarl.families.registry import load_family
from metarl.families.tasks import task_at
from metarl.runs.directory import read_metrics
from metarl.training.start import train

if TYPE_CHECKING:
    from sb3_contrib import RecurrentPPO

PEER = "RecurrentPPO, lstm"
EPISODES = 4


@dataclass(frozen=True)
class Options(BenchmarkOptions):
    """Train RL2 and RecurrentPPO on grid navigation."""

    tasks: int = 40
    """Tasks in each iteration."""
    trials: int = 8
    """Trials of each task."""
    iterations: int = 10
    """Measured iterations of RL2 in a round; RecurrentPPO has one."""
    rounds: int = 3
    """Repetitions in turns; the median counts."""


def measure(options: Options) -> dict[str, Any]:
    """Steps a second of every repetition, with the facts of the machine."""
    ways: dict[str, Callable[[], float]] = {
        "RL2, gru": partial(rl2, options, "gru"),
        "RL2, lstm": partial(rl2, options, "lstm"),
        PEER: partial(recurrent_ppo, options),
    }
    return {"machine": machine(), "steps_per_second": in_turns(ways, options.rounds)}


def rl2(options: Options, memory: Literal["gru", "lstm"]) -> float:
    """Steps a second of a training, without the first iterations."""
    config = Rl2Config(
        family="grid-navigation", variant="varibad", gamma=0.95, meta_batch_size=options.tasks, episodes=options.trials,
        iterations=WARM_UP + options.iterations, validation_tasks=0, checkpoint_every=10**9,
        policy=MemoryPolicyConfig(memory=memory),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        train("rl2", config, f"{folder}/run")
        metrics = read_metrics(f"{folder}/run")
    first, last = metrics[WARM_UP - 1], metrics[-1]
    steps = last["environment_steps"] - first["environment_steps"]
    return steps / (last["wall_seconds"] - first["wall_seconds"])


def recurrent_ppo(options: Options) -> float:
    """Steps a second of one rollout and one update, after a first one."""
    model = peer(options)
    steps = model.n_steps * model.n_envs
    model.learn(steps)
    started = perf_counter()
    model.learn(steps, reset_num_timesteps=False)
    return steps / (perf_counter() - started)


def peer(options: Options) -> RecurrentPPO:
    """RecurrentPPO with an environment for each trial and the sizes of RL2's policy."""
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    family = load_family("grid-navigation", "varibad")
    tasks = family.sample_tasks(options.tasks, "meta-train", np.random.default_rng(0))
    envs = DummyVecEnv(
        [
            partial(family.trials, task_at(tasks, task), EPISODES)
            for task in range(options.tasks)
            for _ in range(options.trials)
        ]
    )
    steps = EPISODES * family.horizon
    sizes = {"lstm_hidden_size": 64, "net_arch": [32], "shared_lstm": True, "enable_critic_lstm": False}
    return RecurrentPPO(
        "MlpLstmPolicy", envs, n_steps=steps, batch_size=steps * envs.num_envs // 4, n_epochs=2, gamma=0.95,
        policy_kwargs=sizes, seed=1,
    )  # fmt: skip


def report(result: dict[str, Any]) -> str:
    """Median steps a second of every learner, and how many times as fast as RecurrentPPO it is."""
    medians = {name: statistics.median(values) for name, values in result["steps_per_second"].items()}
    rows = [f"{name:<24}{value:>10,.0f} steps/s{value / medians[PEER]:>8.1f} x" for name, value in medians.items()]
    return "\n".join([machine_line(result["machine"]), "", *rows])


main = partial(run_benchmark, "memory", Options, measure, report)
