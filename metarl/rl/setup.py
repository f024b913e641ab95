"""Setup of reinforcement learning on a task family: environments, policy and problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from gymnasium import spaces

from metarl.adaptation.adapter import Adapter
from metarl.adaptation.gradient import gradient_adapter
from metarl.adaptation.memory import MemoryAdapter
from metarl.adaptation.parameters import as_trained
from metarl.adaptation.setup import Model
from metarl.config.memory import Rl2Config
from metarl.config.run import TrainConfig
from metarl.core.errors import ConfigError, FamilyError, RunError
from metarl.core.machine import DTYPES
from metarl.core.params import Params
from metarl.core.prng import Key
from metarl.families.analytic import AnalyticFamily
from metarl.families.family import TaskFamily
from metarl.families.registry import file_of_family, load_family
from metarl.families.tasks import Tasks
from metarl.families.vec_env import VecEnv, make_vec_env
from metarl.networks.actions import choices_from, described_choices, heads_of
from metarl.networks.factory import MLP, chosen_network, file_of_network
from metarl.networks.spaces import described, from_description, is_flat
from metarl.rl.memory import MemoryPolicy
from metarl.rl.policies import Policy, make_policy, module_of
from metarl.rl.problem import ReinforcementLearning
from metarl.rl.trials import TrialLearning


def build_family(config: TrainConfig) -> TaskFamily:
    """Load the family of a configuration."""
    return load_family(config.family, config.variant, observe_task=config.observe_task)


def build_policy(config: TrainConfig, observation_space: spaces.Space, action_space: spaces.Space) -> Policy:
    """Build the policy of a configuration.

    Args:
        config: The configuration.
        observation_space: A space that `observed_space` returned.
        action_space: A flat Box or Discrete.
    """
    return make_policy(
        observation_space,
        action_space,
        hidden_sizes=config.policy.hidden_sizes,
        activation=config.policy.activation,
        initial_log_std=config.policy.initial_log_std,
        min_log_std=config.policy.min_log_std,
        max_log_std=config.policy.max_log_std,
        context=config.policy.context,
        normalise_observations=config.policy.normalise_observations,
        network=config.policy.network,
    )


def observed_space(config: TrainConfig, family: TaskFamily) -> spaces.Space:
    """The space that a configuration's policy reads: before observations are flattened, unless its network is mlp.

    Args:
        config: The configuration.
        family: The family.

    Raises:
        FamilyError: An analytic family has other observations than vectors.
    """
    space = family.unflattened or family.observation_space
    if isinstance(family, AnalyticFamily) and not is_flat(space):
        raise FamilyError(f"observation space {space} is not a flat Box, which analytic families step in batches")
    mlp = chosen_network(config.policy.network, space) == MLP
    return family.observation_space if mlp else space


def memory_policy(config: Rl2Config, observation_space: spaces.Space, action_space: spaces.Space) -> MemoryPolicy:
    """Build the policy with memory of a configuration.

    Args:
        config: The configuration.
        observation_space: A flat Box.
        action_space: A flat Box or Discrete.

    Raises:
        FamilyError: A space is not supported.
    """
    if not (isinstance(observation_space, spaces.Box) and len(observation_space.shape) == 1):
        raise FamilyError(f"observation space {observation_space} is not a flat Box; wrap it in FlattenObservation")
    return MemoryPolicy(observation_space.shape[0], action_space, config.policy)


def build_problem(config: TrainConfig, family: TaskFamily, policy: Policy) -> ReinforcementLearning:
    """Build the problem of a configuration on a family, with the configured budget.

    Args:
        config: The configuration.
        family: Makes the environments.
        policy: The policy.
    """
    transitions = config.samples_per_step
    envs = -(-transitions // family.horizon) if transitions is not None else config.episodes
    module = module_of(policy)
    keep_bytes = module is not None and module.layout.reads_bytes
    vec_env_for = partial(vec_env_of, config, family, envs, keep_bytes=keep_bytes)
    return problem_over(vec_env_for, config, policy, horizon=family.horizon, episodes=envs, transitions=transitions)


def vec_env_of(config: TrainConfig, family: TaskFamily, envs: int, tasks: Tasks, *, keep_bytes: bool = False) -> VecEnv:
    """The vector environment of a batch of tasks, with the configured device, type and workers.

    Args:
        config: The configuration.
        family: Makes the environments.
        envs: Sub-environments of each task.
        tasks: The tasks.
        keep_bytes: Whether observations of bytes stay bytes.
    """
    return make_vec_env(
        family,
        tasks,
        envs,
        device=config.device,
        dtype=DTYPES[config.dtype],
        workers=config.workers,
        timeout=config.worker_timeout,
        keep_bytes=keep_bytes,
    )


def problem_over(
    vec_env_for: Callable[[Tasks], VecEnv],
    config: TrainConfig,
    policy: Policy,
    *,
    horizon: int,
    episodes: int,
    transitions: int | None = None,
) -> ReinforcementLearning:
    """Build the problem of a configuration on arbitrary environments.

    Args:
        vec_env_for: Builds the vector environment of a batch of tasks.
        config: The configuration.
        policy: The policy.
        horizon: Steps after which an episode is truncated.
        episodes: Episodes of each task in each step.
        transitions: Minimum transitions of each task in each step; replaces `episodes`.
    """
    return ReinforcementLearning(
        policy,
        vec_env_for,
        horizon=horizon,
        episodes=episodes,
        transitions=transitions,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        surrogate=config.inner.estimator,
        worker_retries=config.worker_retries,
    )


def describe_spaces(
    observation_space: spaces.Space, action_space: spaces.Space, *, shaped: bool = False
) -> dict[str, Any]:
    """Describe spaces as JSON, so that a saved policy can act without its family.

    Args:
        observation_space: Space of the observations.
        action_space: Space of the actions.
        shaped: Whether a network reads observations in their shape, and not as vectors.
    """
    if isinstance(action_space, spaces.Discrete):
        action: dict[str, Any] = {"discrete": int(action_space.n), "start": int(action_space.start)}
    elif heads_of(action_space) is not None:
        action = {"heads": described_choices(action_space)}
    else:
        assert isinstance(action_space, spaces.Box)
        # JSON has no infinity; an unbounded side is null.
        bounds = [
            [float(x) if np.isfinite(x) else None for x in side] for side in (action_space.low, action_space.high)
        ]
        action = {"low": bounds[0], "high": bounds[1]}
    size: dict[str, Any] = {"observation_size": int(spaces.flatdim(observation_space))}
    if shaped:
        size["observation"] = described(observation_space)
    return {**size, "action": action}


def spaces_from(description: dict[str, Any]) -> tuple[spaces.Space, spaces.Space]:
    """Observation and action space of a description; the inverse of `describe_spaces`."""
    if "observation" in description:
        observation = from_description(description["observation"])
    else:
        observation = spaces.Box(-np.inf, np.inf, (description["observation_size"],), np.float32)
    action = description["action"]
    if "discrete" in action:
        return observation, spaces.Discrete(action["discrete"], start=action["start"])
    if "heads" in action:
        return observation, choices_from(action["heads"])
    low = np.array([-np.inf if x is None else x for x in action["low"]], np.float32)
    high = np.array([np.inf if x is None else x for x in action["high"]], np.float32)
    return observation, spaces.Box(low, high, dtype=np.float32)


def check_spaces(trained: Any, here: Any, name: str, where: str) -> None:
    """Check that parameters were trained on the spaces of a family, except for bounds and for where actions start.

    Args:
        trained: The spaces of training, as `describe_spaces` returns them; other values are not checked.
        here: The spaces of the family.
        name: Name of the family, for the error message.
        where: Start of the error message.

    Raises:
        RunError: Observations or actions have another size or kind.
    """
    if not isinstance(trained, dict) or not isinstance(here, dict):
        return
    for what, found, expected in (
        ("observations have", *(f"{side.get('observation_size')} entries" for side in (here, trained))),
        ("actions are", *(_in_words(side.get("action")) for side in (here, trained))),
    ):
        if found != expected:
            raise RunError(f"{where}: trained where {what} {expected}; those of family '{name}': {found}")


def _in_words(action: Any) -> str:
    if not isinstance(action, dict):
        return "unknown"
    if "discrete" in action:
        return f"one of {action['discrete']} choices"
    if "heads" in action:
        heads = heads_of(choices_from(action["heads"])) or []
        return f"one of {' x '.join(map(str, heads))} choices"
    low = action.get("low")
    return f"{len(low)} numbers" if isinstance(low, list) else "unknown"


def fitted_params(config: TrainConfig, description: dict[str, Any], params: Params, where: str) -> Params:
    """Check loaded parameters against the policy of a configuration.

    Args:
        config: The configuration.
        description: The spaces, as `describe_spaces` returns them.
        params: The loaded parameters.
        where: Start of error messages.

    Returns:
        The parameters in the policy's order and the configured type.

    Raises:
        RunError: Names, shapes or values do not fit the policy.
    """
    policy = build_policy(config, *spaces_from(description))
    trained = as_trained(gradient_adapter(config.inner), policy, params, where)
    return {name: value.to(DTYPES[config.dtype]) for name, value in trained.items()}


class FamilySetup:
    """`Setup` of reinforcement learning on a task family.

    Args:
        config: The configuration.
    """

    adapts_to_measured = True

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.family = build_family(config)
        self.name, self.variant = self.family.name, self.family.variant
        self.model = self.build_model()
        self.splits, self.task_space = self.family.splits, self.family.task_space
        self.sample_tasks = self.family.sample_tasks
        self.close = self.family.close

    def build_model(self) -> Model:
        """The policy of the configuration."""
        return build_policy(self.config, observed_space(self.config, self.family), self.family.action_space)

    def problem(self, *, training: bool) -> ReinforcementLearning:
        """A new problem, the same for training and evaluation."""
        assert isinstance(self.model, Policy)
        return build_problem(self.config, self.family, self.model)

    def adapter(self, lr: float | None = None, later_lr: float | None = None) -> Adapter:
        """The gradient adapter of the configuration, with other learning rates if they are given."""
        return gradient_adapter(self.config.inner, lr, later_lr)

    def at_test(self, theta: Params, key: Key) -> Params:
        """theta itself."""
        return theta

    def largest_tensor(self) -> int:
        """Elements of the widest layer's output for all transitions of an adaptation step."""
        config = self.config
        granted = config.samples_per_step or config.episodes * self.family.horizon
        module = module_of(self.model)
        widest = max(config.policy.hidden_sizes, default=1)
        if module is not None:  # a first layer of convolutions is about as large as the image
            widest = max(widest, module.layout.size)
        return config.meta_batch_size * granted * widest

    def facts(self) -> dict[str, Any]:
        """Spaces and horizon, from which a saved policy is rebuilt; the family's name, and files of modules."""
        module = module_of(self.model)
        observed = self.family.observation_space if module is None else module.layout.space
        found = {
            "spaces": describe_spaces(observed, self.family.action_space, shaped=module is not None),
            "horizon": self.family.horizon,
            "family": self.name,
        }
        files = {
            "family_file": file_of_family(self.config.family),
            "network_file": file_of_network(self.config.policy.network),
        }
        return found | {name: file for name, file in files.items() if file is not None}

    def budget(self, steps: int) -> dict[str, Any]:
        """The configured budget, and the environment steps granted before each of `steps` + 1 points."""
        config = self.config
        granted = config.samples_per_step or config.episodes * self.family.horizon
        return {
            "budget": f"{config.samples_per_step} samples"
            if config.samples_per_step
            else f"{config.episodes} episodes",
            "episodes_per_step": config.episodes,
            "samples_per_step": config.samples_per_step,
            "environment_steps": [step * granted for step in range(steps + 1)],
        }

    def protocol(self) -> Mapping[str, Any]:
        """The family's protocol, with horizon, discount factor and lambda."""
        return {
            **self.family.protocol,
            "horizon": self.family.horizon,
            "gamma": self.config.gamma,
            "gae_lambda": self.config.gae_lambda,
            "actions_sampled": True,
        }


class MemorySetup(FamilySetup):
    """`Setup` of a policy with memory on a task family: an adaptation step is one episode of a trial."""

    config: Rl2Config

    def build_model(self) -> Model:
        """The policy with memory of the configuration."""
        return memory_policy(self.config, self.family.observation_space, self.family.action_space)

    def problem(self, *, training: bool) -> TrialLearning:
        """A new problem, the same for training and evaluation."""
        assert isinstance(self.model, MemoryPolicy)
        return TrialLearning(
            self.model,  # type: ignore[arg-type]
            partial(vec_env_of, self.config, self.family, self.config.episodes),
            horizon=self.family.horizon,
            episodes=self.config.episodes,
            gamma=self.config.gamma,
            worker_retries=self.config.worker_retries,
        )

    def adapter(self, lr: float | None = None, later_lr: float | None = None) -> Adapter:
        """The adapter by memory.

        Raises:
            ConfigError: A learning rate is given.
        """
        if lr is not None or later_lr is not None:
            raise ConfigError(f"--inner-lr = {lr or later_lr}; this run adapts by memory, so leave it out")
        return MemoryAdapter(self.config.policy.memory)

    def largest_tensor(self) -> int:
        """Elements of the recurrent layer's output for a minibatch."""
        config = self.config
        trials = config.meta_batch_size * config.episodes // config.ppo.minibatches
        length = (config.inner.steps + 1) * self.family.horizon
        return trials * min(length, config.ppo.chunk or length) * config.policy.memory_size

    def budget(self, steps: int) -> dict[str, Any]:
        """One episode of a trial a step, and the environment steps granted before each of `steps` + 1 points."""
        return {
            "budget": f"trials of {steps + 1} episodes, {self.config.episodes} of each task",
            "episodes_per_step": 1,
            "samples_per_step": None,
            "environment_steps": [step * self.family.horizon for step in range(steps + 1)],
        }


def setup(config: TrainConfig) -> FamilySetup:
    """Build the setup of a configuration of `metarl train`."""
    return MemorySetup(config) if isinstance(config, Rl2Config) else FamilySetup(config)
