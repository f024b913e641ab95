"""Microseconds of one action: `Agent.act`, and the exported policy in other runtimes, on one core.

`python -m benchmarks.speed act` times single calls on random observations, in turns: the agent's mode, a sampled action
with `record`, a policy with memory, and the mode by the exported files. Needs the extra `export` and an otherwise idle
machine.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
import torch

from benchmarks.speed.harness import BenchmarkOptions, in_turns, machine, machine_line, run_benchmark
from metarl.agent import Agent
from metarl.config.memory import MemoryPolicyConfig, Rl2Config
from metarl.config.run import PolicyConfig, TrainConfig
from metarl.core.machine import DTYPES, torch_threads
from metarl.core.params import Params
from metarl.core.prng import Key
from metarl.deployment import check_format
from metarl.memory_agent import MemoryAgent
from metarl.rl.setup import build_policy, memory_policy, spaces_from

Call = Callable[[np.ndarray], object]
"""One action for one observation."""


@dataclass(frozen=True)
class Options(BenchmarkOptions):
    """Time single actions of an untrained policy."""

    observation: int = 17
    """Entries of an observation."""
    actions: int = 6
    """Entries of an action."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Units of each hidden layer."""
    memory_size: int = 64
    """Recurrent units of the policy with memory."""
    calls: int = 2000
    """Calls of each way in a round."""
    rounds: int = 5
    """Rounds in turns, after one to warm up."""


def measure(options: Options) -> dict[str, Any]:
    """Microseconds of every way: the median of all calls, and the 99th percentile."""
    check_format(Path("policy.onnx"))
    observations = np.random.default_rng(0).normal(size=(options.calls, options.observation)).astype(np.float32)
    facts = machine()
    with torch_threads(1), tempfile.TemporaryDirectory() as folder:
        calls = {name: partial(timed, call, observations) for name, call in ways(options, Path(folder)).items()}
        rounds = in_turns(calls, options.rounds, warm_up=1)
    return {"machine": facts | {"torch_threads": 1}, "microseconds": {n: _summary(t) for n, t in rounds.items()}}


def ways(options: Options, folder: Path) -> dict[str, Call]:
    """The ways to compute an action, by name.

    Args:
        options: Sizes of the policies.
        folder: Place of the exported files.
    """
    import onnxruntime

    side = [1.0] * options.actions
    described = {"observation_size": options.observation, "action": {"low": [-x for x in side], "high": side}}
    observation_space, action_space = spaces_from(described)
    config = TrainConfig(policy=PolicyConfig(hidden_sizes=options.hidden_sizes))
    sizes = MemoryPolicyConfig(memory_size=options.memory_size)
    recurrent = Rl2Config(policy=sizes)
    agent = Agent(config, _drawn(build_policy(config, observation_space, action_space)), described, horizon=1000)
    learner = Agent(config, agent.params, described, horizon=1000)
    memory = MemoryAgent(recurrent, _drawn(memory_policy(recurrent, observation_space, action_space)), described)
    for suffix in ("onnx", "pt2"):
        agent.export(folder / f"policy.{suffix}")
    one_thread = onnxruntime.SessionOptions()
    one_thread.intra_op_num_threads = one_thread.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "policy.onnx", one_thread, providers=["CPUExecutionProvider"])
    program = torch.export.load(folder / "policy.pt2").module()

    def record(observation: np.ndarray) -> None:
        learner.act(observation, deterministic=False)
        learner.record(0.0)

    def remember(observation: np.ndarray) -> None:
        memory.act(observation)
        memory.record(0.0)

    def by_torch(observation: np.ndarray) -> object:
        with torch.no_grad():
            return program(observation=torch.as_tensor(observation[None]))["action"].numpy()

    return {
        "agent.act": agent.act,
        "agent.act sampled, and record": record,
        "act and record with memory": remember,
        "exported .pt2, torch": by_torch,
        "exported .onnx, onnxruntime": lambda observation: session.run(["action"], {"observation": observation[None]}),
    }


def timed(call: Call, observations: np.ndarray) -> list[float]:
    """Microseconds of a call on each observation."""
    taken = []
    for observation in observations:
        start = perf_counter_ns()
        call(observation)
        taken.append((perf_counter_ns() - start) / 1000)
    return taken


def _drawn(policy: Any) -> Params:
    """Initial parameters in float32."""
    return {name: value.to(DTYPES["float32"]) for name, value in policy.initialise(Key.from_seed(1)).items()}


def _summary(rounds: list[list[float]]) -> dict[str, float]:
    every = [value for values in rounds for value in values]
    return {"median": statistics.median(every), "p99": float(np.percentile(every, 99))}


def report(result: dict[str, Any]) -> str:
    """A line for each way."""
    lines = [
        f"{name:<32}{value['median']:>8.1f}{value['p99']:>10.1f}" for name, value in result["microseconds"].items()
    ]
    return "\n".join([machine_line(result["machine"]), "", f"{'microseconds':<32}{'median':>8}{'99 %':>10}", *lines])


main = partial(run_benchmark, "act", Options, measure, report)
