"""What batched stepping costs in physics: the warm start that a rollout cannot carry, and sensors for contact forces.

`python -m benchmarks.speed.mujoco_costs` prints processor time for a step of one lane, on one thread. Each rollout is one
call over a whole episode, within which MuJoCo does carry the warm start where it is enabled.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import tyro
from mujoco import rollout

from metarl.families.mujoco import MujocoFamily
from metarl.families.registry import load_family


@dataclass(frozen=True)
class Options:
    """Measure the costs of batched stepping."""

    families: tuple[str, ...] = ("cheetah-vel", "ant-vel", "humanoid-dir")
    """MuJoCo families."""
    envs: int = 20
    """Lanes in a rollout."""
    repetitions: int = 5
    """Repetitions in turns; the least processor time counts."""


def models(family: MujocoFamily) -> dict[str, Any]:
    """The family's own model, the same without its sensors, and that with the warm start as well."""
    bare = mujoco.MjModel.from_xml_path(family.prototype.fullpath)
    cold = copy.copy(bare)
    cold.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_WARMSTART
    return {"warm start": bare, "no warm start": cold, "and sensors": family.model}


def microseconds(family: MujocoFamily, options: Options) -> dict[str, float]:
    """Processor time of one lane's step under each model, for the same random controls."""
    rng = np.random.default_rng(0)
    nu = family.model.nu
    actions = family.action_bound * rng.uniform(-1, 1, (options.envs * family.horizon, nu))
    controls = family.control(actions).reshape(options.envs, family.horizon, nu)
    controls = np.repeat(controls, family.frame_skip, 1)
    found: dict[str, list[float]] = {name: [] for name in models(family)}
    with rollout.Rollout(nthread=0) as alone:
        for _ in range(options.repetitions):
            for name, model in models(family).items():
                state = np.zeros((options.envs, mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS.value)))
                state[:, 1 : 1 + model.nq] = model.qpos0
                data = mujoco.MjData(model)
                start = time.process_time()
                alone.rollout(model, data, state, controls)
                found[name].append(time.process_time() - start)
    steps = options.envs * family.horizon
    return {name: 1e6 * min(times) / steps for name, times in found.items()}


def main(arguments: list[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments)
    for name in options.families:
        family = load_family(name)
        assert isinstance(family, MujocoFamily), f"{name} is no MuJoCo family"
        times = microseconds(family, options)
        print(f"{name}: " + ", ".join(f"{what} {value:.1f} us" for what, value in times.items()))


if __name__ == "__main__":
    main()
