"""Torch modules with parameters stacked over tasks by `torch.func.functional_call` and `torch.vmap`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metarl.core.errors import ConfigError, MetarlError, in_words
from metarl.core.params import CONTEXT, MEMORY, RATE, STATISTICS, Params, TaskParams
from metarl.core.prng import Key
from metarl.networks.factory import Factory
from metarl.networks.layout import Layout

RESERVED = (STATISTICS, MEMORY, RATE, "value.")
"""Starts of names in theta that are not a network's own; `context` and `log_std` are such names as well."""

BATCH_NORMS = (nn.modules.batchnorm._BatchNorm,)
RECURRENT = (nn.RNNBase, nn.RNNCellBase)


class ModuleNetwork:
    """A torch module that maps rows of observations to rows of outputs, vectorised over tasks by `torch.vmap`.

    The module's trainable parameters are theta, by their names. Buffers and parameters without `requires_grad` are
    constants that the factory must give again whenever a run is loaded. The factory is called under a seed, so its
    random initial values are those of the run's seed; constants are those of one fixed seed. A module is two to four
    times slower than `StackedMLP` for the same layers.

    Args:
        factory: Builds the module.
        layout: Layout of the observations.
        outputs: Size of an output.
        name: Name of the network, for error messages.

    Raises:
        ConfigError: The factory raised, or its module has another output, keeps a state, or cannot be stacked.

    Example:
        >>> from gymnasium import spaces
        >>> layout = Layout(spaces.Box(-1, 1, (2,)))
        >>> network = ModuleNetwork(lambda space, outputs: nn.Linear(space.shape[0], outputs), layout, 3)
        >>> theta = network.initialise(Key.from_seed(1))
        >>> stacked = {name: value.expand(4, *value.shape) for name, value in theta.items()}
        >>> network(stacked, torch.zeros(4, 5, 2, dtype=torch.float64)).shape
        torch.Size([4, 5, 3])
    """

    def __init__(self, factory: Factory, layout: Layout, outputs: int, name: str = "module") -> None:
        self.factory, self.layout, self.outputs = factory, layout, outputs
        self.what = f"--policy.network = {name}"
        self.module = self._built(0)
        self.names = [name for name, value in self.module.named_parameters() if value.requires_grad]
        self._check_names()
        learned = set(self.names)
        held = [*self.module.named_buffers(), *self.module.named_parameters()]
        self._held = {name: value.detach() for name, value in held if name not in learned}
        self._constants: dict[tuple[torch.dtype, torch.device], Params] = {}
        self._check_stacked()

    def initialise(self, key: Key) -> Params:
        """Parameters of a module that the factory builds with a seed from the key, float64."""
        own = dict(self._built(key.at("module").value).named_parameters())
        return {name: own[name].detach().clone() for name in self.names}

    def __call__(self, params: TaskParams, inputs: Tensor) -> Tensor:
        own = {name: params[name] for name in self.names}
        rows = inputs.flatten(1, -2)
        first = next(iter(own.values()))
        constants = self._constants_as(first.dtype, first.device)

        def one(theta: Params, rows: Tensor) -> Tensor:
            read = self.layout.restore(rows, first.dtype)
            out: Tensor = torch.func.functional_call(self.module, (theta, constants), (read,))
            return out

        if len(first) == 1:  # as fast as the module itself, and a program without vmap to export
            out = one({name: value[0] for name, value in own.items()}, rows[0])[None]
        else:
            out = torch.vmap(one)(own, rows)
        return out.unflatten(1, inputs.shape[1:-1])

    def _built(self, seed: int) -> nn.Module:
        """A module in float64 whose random values are those of a seed, with the shape of its outputs checked."""
        space = self.layout.space
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed % 2**63)
            try:
                module = self.factory(space, self.outputs)
            except MetarlError:
                raise
            except Exception as error:
                raise ConfigError(f"{self.what}: for observations {space} it raised {_in_one_line(error)}") from error
            if not isinstance(module, nn.Module):
                raise ConfigError(f"{self.what}: returned {type(module).__name__}; expected a torch.nn.Module")
            _check_stateless(module, self.what)
            module.double()
            try:
                with torch.no_grad():
                    out = module(self.layout.restore(torch.zeros(2, self.layout.size), torch.float64))
            except Exception as error:
                raise ConfigError(
                    f"{self.what}: its module cannot read two rows of observations {space}: {_in_one_line(error)}"
                ) from error
        if not isinstance(out, Tensor) or out.shape != (2, self.outputs):
            found = f"shape {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
            raise ConfigError(
                f"{self.what}: for two rows of observations {space} its module returned {found}; "
                f"expected shape (2, {self.outputs})"
            )
        return module

    def _constants_as(self, dtype: torch.dtype, device: torch.device) -> Params:
        """Buffers and frozen parameters, with floats of a type on a device; converted once."""
        known = self._constants.get((dtype, device))
        if known is None:
            known = {
                name: value.to(device, dtype) if value.is_floating_point() else value.to(device)
                for name, value in self._held.items()
            }
            self._constants[dtype, device] = known
        return known

    def _check_names(self) -> None:
        if not self.names:
            raise ConfigError(f"{self.what}: its module has no parameters that require a gradient")
        for name in self.names:
            if name.startswith(RESERVED) or name in (CONTEXT, "log_std"):
                raise ConfigError(
                    f"{self.what}: its parameter '{name}' has the name of another part of a policy; rename it"
                )

    def _check_stacked(self) -> None:
        """Check that stacked modules compute, row by row, what each computes alone."""
        theta = {name: value.detach() for name, value in self.module.named_parameters() if name in set(self.names)}
        generator = torch.Generator().manual_seed(1)
        rows = torch.rand(3, self.layout.size, generator=generator, dtype=torch.float64)
        try:
            with torch.no_grad():
                together = self(
                    {name: torch.stack([value] * 2) for name, value in theta.items()}, torch.stack([rows] * 2)
                )
                alone = self({name: value[None] for name, value in theta.items()}, rows[None, :1])
        except Exception as error:
            raise ConfigError(
                f"{self.what}: its module cannot be stacked over tasks by torch.vmap: {_in_one_line(error)}"
            ) from error
        if not torch.allclose(together[1, 0], alone[0, 0], rtol=1e-6, atol=1e-9):
            raise ConfigError(
                f"{self.what}: its module's output for an observation depends on the others in the batch or on chance; "
                "expected a function of each row alone"
            )


def _check_stateless(module: nn.Module, what: str) -> None:
    """Raise ConfigError for the first part that keeps a state, mixes rows or draws random numbers."""
    for name, part in module.named_modules():
        kind, place = type(part).__name__, f" '{name}'" if name else ""
        if isinstance(part, BATCH_NORMS) or getattr(part, "track_running_stats", False):
            hint = "mixes episodes and keeps running statistics; use LayerNorm or GroupNorm"
        elif isinstance(part, nn.modules.dropout._DropoutNd):
            hint = "draws random numbers of its own; leave it out, exploration is the policy's distribution"
        elif isinstance(part, RECURRENT):
            hint = "keeps a memory; use 'metarl train rl2', whose policies have one"
        else:
            continue
        raise ConfigError(f"{what}: its part{place} is a {kind}, which {hint}")


def _in_one_line(error: Exception) -> str:
    return in_words(error).strip().splitlines()[0]
