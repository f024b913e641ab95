"""A family that fails as its task says, as ordinary environments and as tensors. It imports no torch."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl.families.analytic import AnalyticFamily
from metarl.families.declared import declare_family
from metarl.families.splits import UniformSplits

HORIZON = 5
FAULTS = (
    "none",
    "observation-nan",
    "observation-infinite",
    "observation-text",
    "observation-shape",
    "observation-none",
    "reward-nan",
    "reward-infinite",
    "reward-text",
    "reward-shape",
    "terminated-none",
    "four-values",
    "info-none",
    "raises",
    "raises-unpicklable",
    "reset-raises",
    "space-changes",
    "killed",
    "exits",
    "hangs",
    "endless",
    "ends-at-once",
    "out-of-bounds",
)
"""What the environment variable FAULT may say."""


def _fault() -> str:
    """The fault of this moment: none once the file that FAULT_ONCE names exists, which is then made."""
    fault, mark = os.environ.get("FAULT", "none"), os.environ.get("FAULT_ONCE")
    if mark and fault != "none":
        if Path(mark).exists():
            return "none"
        Path(mark).touch()
    return fault


class _UnpicklableError(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = open(os.devnull)  # noqa: SIM115 (what cannot be pickled)


class Faulty(gymnasium.Env):
    """Fails at its third step; what it does otherwise depends on its own seed and actions."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, gain: float = 1.0) -> None:
        self.gain, self.steps = gain, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.steps = 0
        if os.environ.get("FAULT") == "reset-raises" and _fault() == "reset-raises":
            raise RuntimeError("no power")
        return self._observe(), {}

    def _observe(self) -> np.ndarray:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def step(self, action: Any) -> Any:
        self.steps += 1
        time.sleep(float(os.environ.get("STEP_SECONDS", "0")))
        observation, reward = self._observe(), float(self.gain * action[0])
        if os.environ.get("FAULT") == "ends-at-once":
            return observation, reward, True, False, {}
        if self.steps == 3 and self.gain > 1.0:
            return self._faulty(_fault(), observation, reward)
        return observation, reward, False, False, {}

    def _faulty(self, fault: str, observation: Any, reward: Any) -> Any:
        if fault == "raises":
            raise ValueError("the motor is on fire")
        if fault == "raises-unpicklable":
            raise _UnpicklableError("the motor is on fire")
        if fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "exits":
            os._exit(7)
        if fault == "hangs":
            time.sleep(3600)
        if fault == "four-values":
            return observation, reward, False, {}
        ragged: Any = {
            "observation-nan": np.array([0.0, np.nan], np.float32),
            "observation-infinite": np.array([0.0, np.inf], np.float32),
            "observation-text": np.array(["left", "right"]),
            "observation-shape": np.zeros(3, np.float32),
            "space-changes": np.zeros((2, 2), np.float32),
            "observation-none": None,
            "out-of-bounds": np.array([5.0, 0.0], np.float32),
        }.get(fault, observation)
        rewards: Any = {
            "reward-nan": float("nan"),
            "reward-infinite": float("inf"),
            "reward-text": "plenty",
            "reward-shape": np.zeros(2),
        }
        terminated: Any = None if fault == "terminated-none" else False
        return ragged, rewards.get(fault, reward), terminated, False, None if fault == "info-none" else {}


FAULTY = declare_family(
    Faulty, spaces.Dict({"gain": spaces.Box(1.1, 2.0, ())}), horizon=HORIZON, rescale_actions=False, name="faulty"
)


class FaultyFormula(AnalyticFamily):
    """The same as a formula on tensors; it fails at its third step as well."""

    name = "faulty-formula"
    variants: ClassVar[Mapping[str, str]] = {}
    horizon = HORIZON
    observation_space = spaces.Box(-10, 10, (2,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self) -> None:
        self.task_space = spaces.Dict({"gain": spaces.Box(1.1, 2.0, (1,), np.float32)})
        self.splits = UniformSplits(self.task_space)
        self.protocol = {"actions": "clipped"}

    def initial(self, task: Any, noise: Any) -> Any:
        if _fault() == "reset-raises":
            raise RuntimeError("no power")
        nothing = noise.new_zeros((*noise.shape[:-1], 2))
        return {"at": nothing, "steps": nothing[..., 0]}, nothing

    def step(self, task: Any, state: Any, action: Any, noise: Any) -> Any:
        at, steps = state["at"] + 0.1 * action * task["gain"], state["steps"] + 1
        reward, terminated = -at.abs().sum(-1), steps < 0
        fault = _fault()
        if fault == "ends-at-once":
            terminated = steps > 0
        if int(steps.max()) == 3:
            at, reward, terminated = self._faulty(fault, at, reward, terminated)
        return {"at": at, "steps": steps}, at, reward, terminated

    def _faulty(self, fault: str, at: Any, reward: Any, terminated: Any) -> Any:
        if fault.startswith("raises"):
            raise ValueError("the motor is on fire")
        if fault in ("observation-nan", "observation-infinite"):
            at = at.clone()
            at[1, 0, 1] = float("nan") if fault.endswith("nan") else float("inf")
        if fault in ("reward-nan", "reward-infinite"):
            reward = reward.clone()
            reward[1, 0] = float("nan") if fault.endswith("nan") else float("inf")
        if fault in ("observation-shape", "space-changes"):
            at = at[..., :1]
        if fault == "observation-none":
            at = None
        if fault == "reward-shape":
            reward = reward[..., None]
        if fault == "terminated-none":
            terminated = None
        if fault == "out-of-bounds":
            at = at + 20
        return at, reward, terminated


FORMULA = FaultyFormula()
