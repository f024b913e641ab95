"""Export of a meta-learned initialisation as a Stable-Baselines3 model, for `PPO.load(...).learn(...)`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from metarl.adaptation.parameters import as_trained
from metarl.config.run import TrainConfig, at_iteration
from metarl.config.sb3 import ON_POLICY, Sb3Config
from metarl.config.validation import check_least
from metarl.core.errors import ConfigError, RunError
from metarl.core.params import Params
from metarl.core.prng import Key
from metarl.families.family import TaskFamily
from metarl.families.registry import load_family
from metarl.families.tasks import Task, Tasks, batch_tasks
from metarl.rl.setup import build_family, fitted_params
from metarl.runs.checkpoint import load_selected
from metarl.runs.directory import read_config
from metarl.runs.policy_files import read_policy
from metarl.runs.sources import naming_source
from metarl.sb3.acting import private_randomness
from metarl.sb3.adapter import Sb3Adapter
from metarl.sb3.environments import learning_envs
from metarl.sb3.learner import (
    Learner,
    algorithm_class,
    check_arguments,
    give_parameters,
    parameters_of,
    policy_arguments,
)
from metarl.sb3.names import to_sb3

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


def export_model(
    source: Path | str,
    path: Path | str | None = None,
    *,
    algorithm: str | None = None,
    checkpoint: str | int = "last",
    family: str | TaskFamily | None = None,
    task: Task | None = None,
    seed: int = 1,
    settings: dict[str, Any] | None = None,
) -> BaseAlgorithm:
    """Build a Stable-Baselines3 model whose policy is that of a run, or of a file of `metarl adapt`.

    Means, standard deviations and probabilities of actions agree to 1e-6, and both libraries clip actions to their
    bounds. metarl learns no value function, so the value function has the initialisation of Stable-Baselines3. A run of
    `reptile-sb3` or `pretrain-sb3` becomes a model of its own algorithm, including the critic.

    Args:
        source: A run directory, or a file of `metarl adapt`.
        path: File to save the model to; it is not saved by default.
        algorithm: "PPO" (the default) or "A2C".
        checkpoint: "last", "best" or an iteration.
        family: The family, if it is not found as the run names it.
        task: Task of the model's environment (default: a meta-training task drawn by `seed`).
        seed: Seed of the value function and of the task.
        settings: Further arguments of the algorithm's constructor. The discount factor is that of the run.

    Raises:
        ConfigError: An argument is invalid, or Stable-Baselines3 is not installed.
        RunError: The source is not a run or policy, or the model cannot be saved.
        FamilyError: The family cannot be loaded.
    """
    check_least(("seed", seed, 0))
    place, checkpoint = Path(source), str(checkpoint)
    config = read_config(place)[1] if place.is_dir() else None
    key = Key.from_seed(seed).at("export")
    if isinstance(config, Sb3Config):
        if algorithm not in (None, config.sb3.algorithm):
            raise ConfigError(
                f"--algorithm = {algorithm}; expected {config.sb3.algorithm}, which {place} was trained with"
            )
        if settings:
            raise ConfigError(f"--settings = {settings}; expected none: {place} has those that it was trained with")
        found = _family(config, place, family)
        learner = Learner(config, found)
        theta, iteration = _trained(config, learner, place, checkpoint)
        rate = at_iteration(config, iteration).inner.lr
        with private_randomness(key):
            model = learner.starting(theta, _one_task(found, task, key), key, rate)
    else:
        name = algorithm or "PPO"
        if name not in ON_POLICY:
            raise ConfigError(f"--algorithm = {name}; expected {' or '.join(ON_POLICY)}, whose policies are metarl's")
        kind = algorithm_class(name)
        settings = settings or {}
        check_arguments(kind, settings, "--settings")
        saved = read_policy(place, checkpoint)
        if "observation" in saved.spaces:
            network = saved.config.policy.network or "cnn"
            raise ConfigError(
                f"{place}: policy.network is {network}; expected mlp: models of Stable-Baselines3 are made of metarl's "
                "perceptrons alone; export to .onnx or .pt2"
            )
        params = fitted_params(saved.config, saved.spaces, saved.params, str(place))
        found = _family(saved.config, place, family)
        env = learning_envs(found, _one_task(found, task, key))
        with private_randomness(key) as drawn:
            arguments: dict[str, Any] = {"gamma": saved.config.gamma, "seed": drawn.seed, "device": "cpu", **settings}
            model = kind("MlpPolicy", env, policy_kwargs=policy_arguments(saved.config.policy, name), **arguments)
        give_parameters(model, parameters_of(model) | to_sb3(params, saved.config.policy.min_log_std))
    if path is not None:
        try:
            model.save(path)
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror}") from None
    return model


def _family(config: TrainConfig, place: Path, given: str | TaskFamily | None) -> TaskFamily:
    """The family of a configuration, or the one that is given."""
    if given is not None:
        return load_family(given, config.variant, observe_task=config.observe_task)
    with naming_source(place, config.family):
        return build_family(config)


def _trained(config: Sb3Config, learner: Learner, place: Path, checkpoint: str) -> tuple[Params, int]:
    """The parameters of a checkpoint, and its iteration."""
    adapter = Sb3Adapter(learner, config.inner.lr, config.sb3.timesteps)
    state, manifest = load_selected(place, checkpoint)
    return as_trained(adapter, learner, state["theta"], str(place)), manifest["iteration"]


def _one_task(family: TaskFamily, task: Task | None, key: Key) -> Tasks:
    if task is not None:
        return batch_tasks([task])
    return family.sample_tasks(1, family.splits.names[0], key.at("task").generator())
