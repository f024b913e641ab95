"""An algorithm of Stable-Baselines3 as an inner loop: build a model, give it theta, let it learn, take it back."""

from __future__ import annotations

import inspect
import math
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from metarl.config.run import PolicyConfig
from metarl.config.sb3 import ON_POLICY, Sb3Config
from metarl.core.errors import ConfigError, Divergence, nearest
from metarl.core.params import Params
from metarl.core.prng import Key
from metarl.families.family import TaskFamily
from metarl.families.tasks import Tasks
from metarl.rl.networks import ACTIVATION_MODULES
from metarl.sb3.acting import private_randomness, seed_of
from metarl.sb3.environments import learning_envs
from metarl.sb3.model_files import is_target
from metarl.sb3.names import critic_names

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.vec_env import VecEnv


ENTROPY = "log_ent_coef"
"""SAC's learned entropy coefficient, a parameter beside the policy's."""


def algorithm_class(name: str) -> type[BaseAlgorithm]:
    """The algorithm of that name; raises ConfigError where Stable-Baselines3 is not installed."""
    try:
        import stable_baselines3
    except ImportError:
        raise ConfigError(f"{name}: stable-baselines3 is not installed; pip install 'metarl-toolkit[sb3]'") from None
    return getattr(stable_baselines3, name)  # type: ignore[no-any-return]


def policy_arguments(config: PolicyConfig, algorithm: str) -> dict[str, Any]:
    """`policy_kwargs` for the network of a configuration, the critic's of the same sizes."""
    arguments: dict[str, Any] = {
        "net_arch": list(config.hidden_sizes),
        "activation_fn": ACTIVATION_MODULES[config.activation],
    }
    if algorithm in ON_POLICY:
        arguments["log_std_init"] = config.initial_log_std
        arguments["net_arch"] = {"pi": list(config.hidden_sizes), "vf": list(config.hidden_sizes)}
    return arguments


def parameters_of(model: Any) -> Params:
    """Copies of everything that a model learns; target networks, which follow others, learn nothing."""
    params = {name: value for name, value in model.policy.named_parameters() if not is_target(name)}
    if getattr(model, ENTROPY, None) is not None:
        params[ENTROPY] = model.log_ent_coef
    return {name: value.detach().clone() for name, value in params.items()}


def give_parameters(model: Any, params: Params) -> None:
    """Replace everything that a model learns; target networks start as copies of those that they follow."""
    with torch.no_grad():
        for name, value in model.policy.named_parameters():
            if not is_target(name):
                value.copy_(params[name])
        if ENTROPY in params:
            model.log_ent_coef.copy_(params[ENTROPY])
    for name, network in model.policy.named_children():
        if is_target(name):
            network.load_state_dict(getattr(model.policy, name.removesuffix("_target")).state_dict())


OURS = ("policy", "env", "learning_rate", "gamma", "gae_lambda", "seed", "device", "policy_kwargs", "_init_setup_model")
"""Arguments that follow from the rest of a configuration."""


def check_arguments(algorithm: type[BaseAlgorithm], settings: dict[str, Any], option: str) -> None:
    """Raise ConfigError for a setting that the algorithm's constructor does not have, or that is not to be set here."""
    known = set(inspect.signature(algorithm.__init__).parameters) - {"self", *OURS}
    for name in settings:
        if name in OURS:
            raise ConfigError(f"{option}: {name} follows from the run; expected another argument")
        if name not in known:
            raise ConfigError(f"{option}: {algorithm.__name__} has no argument '{name}'{nearest(name, known)}")


def rollout_steps(algorithm: type[BaseAlgorithm], settings: dict[str, Any]) -> int:
    """Steps of each environment of which `learn` takes whole multiples: those of a rollout, or one."""
    if algorithm.__name__ not in ON_POLICY:
        return 1
    steps = settings.get("n_steps", _default(algorithm, "n_steps"))
    if type(steps) is not int or steps < 1:
        raise ConfigError(f"--sb3.settings: n_steps = {steps!r}; expected a whole number of at least 1")
    return steps


def _default(algorithm: type[BaseAlgorithm], argument: str) -> Any:
    return inspect.signature(algorithm.__init__).parameters[argument].default


def _noise(deviation: Any, env: VecEnv) -> Any:
    """Gaussian noise of that standard deviation for each component of an action; raises ConfigError for no number."""
    from stable_baselines3.common.noise import NormalActionNoise

    if type(deviation) not in (int, float) or not 0 <= deviation < math.inf:
        raise ConfigError(f"--sb3.settings: action_noise = {deviation!r}; expected a standard deviation, or null")
    mean = np.zeros(env.action_space.shape or ())
    return NormalActionNoise(mean, np.full_like(mean, deviation))


class Learner:
    """Models of one algorithm with a configuration's settings."""

    def __init__(self, config: Sb3Config, family: TaskFamily) -> None:
        self.config, self.family = config, family
        self.algorithm = algorithm_class(config.sb3.algorithm)
        given = config.sb3.given()
        check_arguments(self.algorithm, given, "--sb3.settings")
        self.settings = config.sb3.arguments()
        self.waits = 0
        """Transitions that are stored before learning begins, while the policy acts already."""
        if "learning_starts" in self.settings.keys() - given.keys():
            self.waits = self.settings.get("batch_size", _default(self.algorithm, "batch_size"))

    def build(self, env: VecEnv, seed: int, lr: float) -> BaseAlgorithm:
        """A new model on environments; it seeds the global generators, so call it within `private_randomness`."""
        config = self.config
        arguments: dict[str, Any] = {
            "learning_rate": lr,
            "gamma": config.gamma,
            "seed": seed,
            "device": config.device,
            "policy_kwargs": policy_arguments(config.policy, config.sb3.algorithm),
            **self.settings,
        }
        if arguments.get("action_noise") is not None:
            arguments["action_noise"] = _noise(arguments["action_noise"], env)
        if config.sb3.algorithm in ON_POLICY:
            arguments["gae_lambda"] = config.gae_lambda
        try:
            return self.algorithm("MlpPolicy", env, **arguments)
        except (TypeError, ValueError, AssertionError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ConfigError(f"{config.sb3.algorithm} of Stable-Baselines3 cannot be built: {reason}") from None

    def initialise(self, key: Key) -> Params:
        """The parameters that Stable-Baselines3 itself begins with."""
        tasks = self.family.sample_tasks(1, self.family.splits.names[0], key.generator())
        env = learning_envs(self.family, tasks, self.config.sb3.n_envs)
        with private_randomness(key):
            params = parameters_of(self.build(env, seed_of(key), self.config.inner.lr))
        env.close()
        return {name: value.double() for name, value in params.items()}

    def moving(self, params: Params) -> list[str]:
        """Names of the parameters that the outer update moves; raises ConfigError where there are none."""
        pattern, critic = self.config.sb3.moves, critic_names(params)
        if pattern == "all":
            return list(params)
        if pattern in ("actor", "critic"):
            names = [name for name in params if (name in critic) == (pattern == "critic")]
        else:
            names = [name for name in params if fnmatchcase(name, pattern)]
        if not names:
            raise ConfigError(
                f"--sb3.moves = {pattern}; expected all, actor, critic or a pattern of {', '.join(params)}"
            )
        return names

    def starting(self, theta: Params, tasks: Tasks, key: Key, lr: float) -> BaseAlgorithm:
        """A new model with these parameters, on environments of these tasks in turn.

        Optimisers start afresh, and so do replay buffers, which would hold other tasks' transitions.
        """
        from stable_baselines3.common.logger import Logger

        model = self.build(learning_envs(self.family, tasks, self.config.sb3.n_envs), seed_of(key), lr)
        give_parameters(model, theta)
        # Without a logger of its own, each call of `learn` leaves a folder in the system's temporary directory.
        model.set_logger(Logger(folder=None, output_formats=[]))
        return model

    def learn(self, model: BaseAlgorithm, timesteps: int) -> float | None:
        """Go on learning for `timesteps` environment steps; the mean return of the episodes that ended meanwhile.

        Raises Divergence where the parameters are not finite any more.
        """
        env = model.get_env()
        assert env is not None
        before = [len(returns) for returns in env.env_method("get_episode_rewards")]
        try:
            self._learn(model, timesteps)
        except ValueError as error:
            # Distributions refuse parameters that are not finite; anything else is not about divergence.
            if _finite(parameters_of(model)):
                raise
            raise self._divergence() from error
        if not _finite(parameters_of(model)):
            raise self._divergence()
        after = env.env_method("get_episode_rewards")
        ended = [value for returns, seen in zip(after, before, strict=True) for value in returns[seen:]]
        return sum(ended) / len(ended) if ended else None

    def _learn(self, model: Any, timesteps: int) -> None:
        """`model.learn`, without gradient steps as long as fewer transitions are stored than `waits` asks for."""
        if not self.waits:
            model.learn(timesteps, reset_num_timesteps=False)
            return
        gradient_steps = model.gradient_steps

        def enough(*_: Any) -> bool:
            model.gradient_steps = gradient_steps if model.num_timesteps >= self.waits else 0
            return True

        try:
            model.learn(timesteps, callback=enough, reset_num_timesteps=False)
        finally:
            model.gradient_steps = gradient_steps

    def _divergence(self) -> Divergence:
        return Divergence(f"{self.config.sb3.algorithm} diverged; try a smaller --inner.lr")


def _finite(params: Params) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in params.values())
