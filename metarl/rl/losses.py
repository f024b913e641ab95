"""Policy-gradient surrogates. Each returns one value per task, shape (tasks,), to be minimised.

At the parameters that collected the data, the gradient of every inner surrogate is the policy gradient. The surrogates
differ in their second derivatives, which enter the meta-gradient. In the notation of Rothfuss et al. (2019, section 5)
the Hessian of the return is H1 + H2 + H12 + H12^T. The naive surrogate has H2, the ratio H1 + H2, and DiCE all terms.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from metarl.adaptation.problem import Distribution
from metarl.rl.data import PolicyBatch


def naive_surrogate(distribution: Distribution, batch: PolicyBatch) -> Float[Tensor, " tasks"]:
    """-E[log pi(a|s) A] (Finn et al. 2017, equation 4 as in their code).

    Its second derivative lacks the dependence of the sampling distribution on the parameters.
    """
    return -(distribution.log_prob(batch.actions) * batch.advantages * batch.weights).sum((1, 2))


def ratio_surrogate(distribution: Distribution, batch: PolicyBatch) -> Float[Tensor, " tasks"]:
    """-E[pi(a|s) / pi_old(a|s) A], where pi_old is the policy that collected the data.

    As an inner loss this is the low-variance curvature estimator of ProMP (Rothfuss et al. 2019, equation 10). On query
    data it is TRPO's objective (Schulman et al. 2015, equation 14).
    """
    ratio = torch.exp(distribution.log_prob(batch.actions) - batch.log_probs)
    return -(ratio * batch.advantages * batch.weights).sum((1, 2))


def dice_surrogate(distribution: Distribution, batch: PolicyBatch) -> Float[Tensor, " tasks"]:
    """DiCE (Foerster et al. 2018) with advantages (Farquhar et al. 2019, equation 8, at lambda = 1).

    -E[(R_t - R_{t-1}) A_t], where R_t is the product of the ratios pi / pi_old up to time t of an episode. Derivatives
    of every order are those of the return; their variance grows with the length of the episode. The batch must contain
    whole episodes in order.
    """
    taken = batch.weights > 0
    log_ratios = (distribution.log_prob(batch.actions) - batch.log_probs).masked_fill(~taken, 0)
    up_to = log_ratios.cumsum(-1)
    return -((up_to.exp() - (up_to - log_ratios).exp()) * batch.advantages * batch.weights).sum((1, 2))


def clipped_surrogate(distribution: Distribution, batch: PolicyBatch, clip: float) -> Float[Tensor, " tasks"]:
    """-E[min(r A, clip(r, 1 - clip, 1 + clip) A)] with r = pi / pi_old (PPO, Schulman et al. 2017, equation 7)."""
    ratio = torch.exp(distribution.log_prob(batch.actions) - batch.log_probs)
    pessimistic = torch.minimum(ratio * batch.advantages, ratio.clamp(1 - clip, 1 + clip) * batch.advantages)
    return -(pessimistic * batch.weights).sum((1, 2))


SURROGATES = {
    "low-variance": ratio_surrogate,
    "naive": naive_surrogate,
    "dice": dice_surrogate,
    "e-maml": naive_surrogate,
}
"""Inner losses by estimator; E-MAML adds a term to the outer loss (`meta_gradient.score_function_term`)."""
