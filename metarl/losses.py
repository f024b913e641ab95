"""Policy-gradient surrogates. Each returns one value a task, shape (tasks,), to be minimised.

At the parameters that collected the data both surrogates have the policy gradient as their gradient; they
differ in their second derivatives, which is what a meta-gradient sees.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from metarl.policies import Distribution
from metarl.types import PolicyBatch


def naive_surrogate(distribution: Distribution, batch: PolicyBatch) -> Float[Tensor, " tasks"]:
    """-E[log pi(a|s) A] (Finn et al. 2017, equation 4 as their code has it).

    Differentiated twice it lacks the term for how the sampling depends on the parameters.
    """
    return -(distribution.log_prob(batch.actions) * batch.advantages * batch.weights).sum((1, 2))


def ratio_surrogate(distribution: Distribution, batch: PolicyBatch) -> Float[Tensor, " tasks"]:
    """-E[pi(a|s) / pi_old(a|s) A], with pi_old the policy that acted.

    Used for adaptation this is the low-variance curvature estimator of ProMP (Rothfuss et al. 2019,
    equation 10); used on query data it is TRPO's objective (Schulman et al. 2015, equation 14).
    """
    ratio = torch.exp(distribution.log_prob(batch.actions) - batch.log_probs)
    return -(ratio * batch.advantages * batch.weights).sum((1, 2))


def clipped_surrogate(distribution: Distribution, batch: PolicyBatch, clip: float) -> Float[Tensor, " tasks"]:
    """-E[min(r A, clip(r, 1 - clip, 1 + clip) A)] with r = pi / pi_old (Schulman et al. 2017, equation 7)."""
    ratio = torch.exp(distribution.log_prob(batch.actions) - batch.log_probs)
    pessimistic = torch.minimum(ratio * batch.advantages, ratio.clamp(1 - clip, 1 + clip) * batch.advantages)
    return -(pessimistic * batch.weights).sum((1, 2))


SURROGATES = {"naive": naive_surrogate, "low-variance": ratio_surrogate}
