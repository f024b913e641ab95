"""A meta-learned initialisation as a model of Stable-Baselines3, which `PPO.load(...).learn(...)` starts from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from metarl.agent import load
from metarl.builder import as_trained, build_family
from metarl.checkpoint import load_selected
from metarl.errors import ConfigError, RunError
from metarl.families import TaskFamily
from metarl.randomness import Key
from metarl.run_directory import read_config
from metarl.sb3.environments import learning_envs
from metarl.sb3.learner import (
    Learner,
    algorithm_class,
    check_arguments,
    give_parameters,
    parameters_of,
    policy_arguments,
)
from metarl.sb3.measuring import private_randomness
from metarl.sb3.names import to_sb3
from metarl.sb3_config import ON_POLICY, Sb3Config
from metarl.tasks import Task, Tasks, batch_tasks
from metarl.validation import check_least

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


def export_model(
    source: Path | str,
    path: Path | str | None = None,
    *,
    algorithm: str | None = None,
    checkpoint: str = "last",
    task: Task | None = None,
    seed: int = 1,
    settings: dict[str, Any] | None = None,
) -> BaseAlgorithm:
    """A model that acts as the run's initialisation (or as a policy that `metarl adapt` saved) and can go on learning.

    Its environment is the run's family at `task` (default: one drawn by `seed`), its discount factor that of the run,
    and `settings` are further arguments of the algorithm's constructor (PPO unless A2C is asked for). Means,
    standard deviations and probabilities of actions agree to 1e-6; actions are clipped to their bounds on both sides.
    metarl learns no value function, so the model's starts as Stable-Baselines3 draws it from `seed`. A run of
    `reptile-sb3` or `pretrain-sb3` gives the algorithm that it was trained with, the critic included.
    Saved to `path` if there is one. Raises ConfigError, RunError or FamilyError.
    """
    check_least(("seed", seed, 0))
    place = Path(source)
    config = read_config(place)[1] if place.is_dir() else None
    key = Key.from_seed(seed).at("export")
    if isinstance(config, Sb3Config):
        if algorithm not in (None, config.sb3.algorithm):
            raise ConfigError(
                f"--algorithm = {algorithm}; expected {config.sb3.algorithm}, which {place} was trained with"
            )
        if settings:
            raise ConfigError(f"--settings = {settings}; expected none: {place} has those that it was trained with")
        family = build_family(config)
        learner = Learner(config, family)
        theta = as_trained(config, learner, load_selected(place, checkpoint)[0]["theta"], str(place))
        with private_randomness(key):
            model = learner.starting(theta, _one_task(family, task, key), key, config.inner.lr)
    else:
        name = algorithm or "PPO"
        if name not in ON_POLICY:
            raise ConfigError(f"--algorithm = {name}; expected {' or '.join(ON_POLICY)}, whose policies are metarl's")
        kind = algorithm_class(name)
        settings = settings or {}
        check_arguments(kind, settings, "--settings")
        agent = load(place, checkpoint)
        family = build_family(agent.config)
        env = learning_envs(family, _one_task(family, task, key))
        with private_randomness(key) as drawn:
            arguments: dict[str, Any] = {"gamma": agent.config.gamma, "seed": drawn, "device": "cpu", **settings}
            model = kind("MlpPolicy", env, policy_kwargs=policy_arguments(agent.config.policy, name), **arguments)
        give_parameters(model, parameters_of(model) | to_sb3(agent.params, agent.config.policy.min_log_std))
    if path is not None:
        try:
            model.save(path)
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror}") from None
    return model


def _one_task(family: TaskFamily, task: Task | None, key: Key) -> Tasks:
    if task is not None:
        return batch_tasks([task])
    return family.sample_tasks(1, family.splits.names[0], key.at("task").generator())
