"""Action distributions for all tasks at once."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Gaussian(NamedTuple):
    """Diagonal normal distribution over actions; both fields have the same shape (tasks, ..., action)."""

    mean: Tensor
    log_std: Tensor

    def sample(self, noise: Float[Tensor, "tasks *rows action"]) -> Tensor:
        """Actions for standard normal noise."""
        return self.mean + self.log_std.exp() * noise

    def mode(self) -> Tensor:
        """The most probable action."""
        return self.mean

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log-density of actions, summed over action dimensions."""
        z = (actions - self.mean) * torch.exp(-self.log_std)
        return (-0.5 * (z * z + math.log(2 * math.pi)) - self.log_std).sum(-1)

    def entropy(self) -> Tensor:
        """Differential entropy, summed over action dimensions."""
        return (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    def kl_from(self, old: Gaussian) -> Tensor:
        """KL(old || self), summed over action dimensions."""
        ratio = torch.exp(2 * (old.log_std - self.log_std))
        distance = ((old.mean - self.mean) * torch.exp(-self.log_std)).square()
        return (self.log_std - old.log_std + 0.5 * (ratio + distance - 1)).sum(-1)

    def fisher_product(self, tangent: Gaussian) -> Gaussian:
        """Fisher information times a tangent; it is diagonal, 1/variance for the mean and 2 for log_std."""
        return Gaussian(tangent.mean * torch.exp(-2 * self.log_std), 2 * tangent.log_std)


class Categorical(NamedTuple):
    """Categorical distribution over discrete actions; logits have shape (tasks, ..., choices)."""

    logits: Tensor

    def sample(self, noise: Float[Tensor, "tasks *rows one"]) -> Tensor:
        """Actions by inversion of the cumulative distribution, for uniform noise with a trailing axis of length one."""
        cumulative = torch.softmax(self.logits, -1).cumsum(-1)
        return (noise > cumulative[..., :-1]).sum(-1)

    def mode(self) -> Tensor:
        """The most probable action."""
        return self.logits.argmax(-1)

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log-probability of actions."""
        log_p = torch.log_softmax(self.logits, -1)
        return log_p.gather(-1, actions.long()[..., None]).squeeze(-1)

    def entropy(self) -> Tensor:
        """Entropy in nats."""
        log_p = torch.log_softmax(self.logits, -1)
        return -(log_p.exp() * log_p).sum(-1)

    def kl_from(self, old: Categorical) -> Tensor:
        """KL(old || self)."""
        old_log_p, log_p = torch.log_softmax(old.logits, -1), torch.log_softmax(self.logits, -1)
        return (old_log_p.exp() * (old_log_p - log_p)).sum(-1)

    def fisher_product(self, tangent: Categorical) -> Categorical:
        """Fisher information of the logits, diag(p) - p p^T, times a tangent."""
        p = torch.softmax(self.logits, -1)
        weighted = p * tangent.logits
        return Categorical(weighted - p * weighted.sum(-1, keepdim=True))


ABSENT = -1e9
"""Logit of a choice that a head does not have: its probability is exactly zero, and its derivatives are."""


class MultiCategorical(NamedTuple):
    """Independent categorical distributions, one for each head of an action.

    Logits have shape (tasks, ..., heads, choices); heads with fewer choices than the widest have logits `ABSENT`.
    """

    logits: Tensor

    def sample(self, noise: Float[Tensor, "tasks *rows heads"]) -> Tensor:
        """Choices (tasks, ..., heads) by inversion of the cumulative distributions, for uniform noise."""
        cumulative = torch.softmax(self.logits, -1).cumsum(-1)
        # Rounding may leave a cumulative probability below one, so absent choices are excluded by name.
        passed = (noise[..., None] > cumulative[..., :-1]) & (self.logits[..., 1:] > ABSENT)
        return passed.sum(-1)

    def mode(self) -> Tensor:
        """The most probable choice of every head."""
        return self.logits.argmax(-1)

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log-probability of actions, summed over heads."""
        return self._heads().log_prob(actions).sum(-1)

    def entropy(self) -> Tensor:
        """Entropy in nats, summed over heads."""
        return self._heads().entropy().sum(-1)

    def kl_from(self, old: MultiCategorical) -> Tensor:
        """KL(old || self), summed over heads."""
        return self._heads().kl_from(old._heads()).sum(-1)

    def fisher_product(self, tangent: MultiCategorical) -> MultiCategorical:
        """Fisher information of the logits times a tangent, head by head."""
        return MultiCategorical(self._heads().fisher_product(tangent._heads()).logits)

    def _heads(self) -> Categorical:
        return Categorical(self.logits)


Distribution = Gaussian | Categorical | MultiCategorical
