"""Families on MuJoCo: their sampling beside `mujoco.rollout` and gymnasium's AsyncVectorEnv, and costs of the physics.

`python -m benchmarks.speed sampling --family NAME` steps the same body on the same cores in three ways. The library's
rate includes policy, reward, resets and bookkeeping; `mujoco.rollout` alone steps as many sub-environments, as many at
a time, under random controls.

`python -m benchmarks.speed mujoco-costs` prints processor time for a step of one sub-environment, on one thread: with
the solver's warm start, which batched stepping cannot carry from step to step, without it, and with the sensors that
read contact forces as well. Each rollout is one call over a whole episode, within which MuJoCo carries the warm start
where it is enabled.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
import mujoco
import numpy as np
import torch
from mujoco import rollout as mujoco_rollout

from benchmarks.speed.harness import (
    BenchmarkOptions,
    TaskOptions,
    cpu_envs,
    in_turns,
    machine,
    machine_line,
    run_benchmark,
    timed_rollouts,
)
from metarl.core.errors import ConfigError
from metarl.core.launch import usable_cores
from metarl.families.mujoco import MujocoFamily
from metarl.families.registry import load_family
from metarl.families.tasks import task_at

ASYNC_ENVS = 8


@dataclass(frozen=True)
class CostOptions(BenchmarkOptions):
    """Measure costs of batched stepping in physics: no warm start, and sensors for contact forces."""

    families: tuple[str, ...] = ("cheetah-vel", "ant-vel", "humanoid-dir")
    """MuJoCo families."""
    envs: int = 20
    """Sub-environments in a rollout."""
    repetitions: int = 5
    """Repetitions in turns; the least processor time counts."""


def measure(family: MujocoFamily, options: TaskOptions, repetitions: int) -> dict[str, Any]:
    """Median steps a second of each way, all sub-environments together, and the library's ratios to the others."""
    facts = machine()
    # The policy has the published size.
    library = timed_rollouts(family, cpu_envs(family, options), hidden_sizes=(100, 100), activation="relu")
    alone, stock = physics(family, options.tasks, options.episodes), asynchronous(family)
    rates = in_turns(
        {
            "library": lambda: next(library).steps,
            "mujoco.rollout alone": alone.__next__,
            "AsyncVectorEnv": stock.__next__,
        },
        repetitions,
        warm_up=1,
    )
    for source in (library, alone, stock):
        source.close()
    median = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "machine": facts,
        "family": family.name,
        "variant": family.variant,
        "lanes": f"{options.tasks} tasks x {options.episodes} episodes",
        "threads": {"mujoco": usable_cores(), "torch": torch.get_num_threads()},
        "steps_per_second": median,
        "ratios": {
            "of mujoco.rollout alone": median["library"] / median["mujoco.rollout alone"],
            "times gymnasium's AsyncVectorEnv": median["library"] / median["AsyncVectorEnv"],
        },
    }


def physics(family: MujocoFamily, tasks: int, episodes: int) -> Generator[float]:
    """Rates of `mujoco.rollout` over an episode of as many sub-environments, random controls drawn beforehand."""
    envs, threads, model = tasks * episodes, usable_cores(), family.model
    drawn = family.sample_tasks(tasks, "meta-train", np.random.default_rng(0))
    models = [family.model_for(task_at(drawn, i // episodes)) for i in range(envs)]
    data = [mujoco.MjData(model) for _ in range(threads)]
    state = initial_states(model, envs)
    rng = np.random.default_rng(0)
    controls = family.control(rng.uniform(-1, 1, (family.horizon * envs, model.nu)) * family.action_bound)
    controls = np.repeat(controls.reshape(family.horizon, envs, 1, model.nu), family.frame_skip, 2)
    with mujoco_rollout.Rollout(nthread=threads) as pool:
        while True:
            start, current = time.perf_counter(), state
            for control in controls:
                states, _ = pool.rollout(models, data, current, control)
                current = states[:, -1]
            yield family.horizon * envs / (time.perf_counter() - start)


def initial_states(model: Any, envs: int) -> np.ndarray:
    """The model's reference state (envs, state size), once for every sub-environment."""
    state = np.zeros((envs, mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS.value)))
    state[:, 1 : 1 + model.nq] = model.qpos0
    return state


def asynchronous(family: MujocoFamily) -> Generator[float]:
    """Rates of gymnasium's own environment, a process each."""
    envs = gymnasium.vector.AsyncVectorEnv([lambda: gymnasium.make(family.env_id, **family.env_options)] * ASYNC_ENVS)
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(family.horizon)]
    try:
        while True:
            envs.reset(seed=0)
            start = time.perf_counter()
            for action in actions:
                envs.step(action)
            yield family.horizon * ASYNC_ENVS / (time.perf_counter() - start)
    finally:
        envs.close()


def report(result: dict[str, Any]) -> str:
    """The numbers as text."""
    lines = [
        f"{machine_line(result['machine'])}, MuJoCo {mujoco.__version__} with {result['threads']['mujoco']}",
        f"setup: {result['family']} {result['variant']}, {result['lanes']}, 100-100 relu policy; "
        f"AsyncVectorEnv: {ASYNC_ENVS} environments",
        "",
    ]
    lines += [f"{name:22}{rate:>12,.0f} steps/s" for name, rate in result["steps_per_second"].items()]
    lines += [f"the library has {ratio:.2f} {name}" for name, ratio in result["ratios"].items()]
    return "\n".join(lines)


def measure_costs(options: CostOptions) -> dict[str, dict[str, float]]:
    """Microseconds of each model's step, by family."""
    result = {}
    for name in options.families:
        family = load_family(name)
        if not isinstance(family, MujocoFamily):
            raise ConfigError(f"--families = {name}; expected MuJoCo families")
        result[name] = microseconds(family, options)
    return result


def models(family: MujocoFamily) -> dict[str, Any]:
    """The model with the warm start and no sensors, the same without the warm start, and the family's own."""
    bare = mujoco.MjModel.from_xml_path(family.prototype.fullpath)
    cold = copy.copy(bare)
    cold.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_WARMSTART
    return {"warm start": bare, "no warm start": cold, "and sensors": family.model}


def microseconds(family: MujocoFamily, options: CostOptions) -> dict[str, float]:
    """Processor time of one sub-environment's step under each model, for the same random controls."""
    rng = np.random.default_rng(0)
    nu = family.model.nu
    actions = family.action_bound * rng.uniform(-1, 1, (options.envs * family.horizon, nu))
    controls = family.control(actions).reshape(options.envs, family.horizon, nu)
    controls = np.repeat(controls, family.frame_skip, 1)

    def seconds(model: Any) -> float:
        state, data = initial_states(model, options.envs), mujoco.MjData(model)
        start = time.process_time()
        thread.rollout(model, data, state, controls)
        return time.process_time() - start

    with mujoco_rollout.Rollout(nthread=0) as thread:
        timers = {name: partial(seconds, model) for name, model in models(family).items()}
        found = in_turns(timers, options.repetitions)
    steps = options.envs * family.horizon
    return {name: 1e6 * min(times) / steps for name, times in found.items()}


def report_costs(result: dict[str, dict[str, float]]) -> str:
    """A line for each family."""
    return "\n".join(
        f"{name}: " + ", ".join(f"{model} {value:.1f} us" for model, value in times.items())
        for name, times in result.items()
    )


costs = partial(run_benchmark, "mujoco-costs", CostOptions, measure_costs, report_costs)
