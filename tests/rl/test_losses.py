import pytest
import torch

from metarl.rl.data import PolicyBatch
from metarl.rl.distributions import Gaussian
from metarl.rl.losses import SURROGATES, clipped_surrogate, ratio_surrogate
from tests.helpers.tiny_mdp import ACTIONS, HORIZON, STATES


def test_clipping_by_hand():
    log_std = torch.zeros(1, 1, 4, 1)
    distribution = Gaussian(torch.zeros(1, 1, 4, 1), log_std)
    actions = torch.zeros(1, 1, 4, 1)
    ratios = torch.tensor([1.5, 0.5, 1.5, 0.5])
    old = distribution.log_prob(actions) - ratios.log()
    advantages = torch.tensor([[[1.0, 1.0, -1.0, -1.0]]])
    batch = PolicyBatch(torch.zeros(1, 1, 4, 2), actions, old, advantages, torch.full((1, 1, 4), 0.25))
    assert clipped_surrogate(distribution, batch, 0.3).item() == pytest.approx(-(1.3 + 0.5 - 1.5 - 0.7) / 4)
    assert ratio_surrogate(distribution, batch).item() == pytest.approx(-(1.5 + 0.5 - 1.5 - 0.5) / 4)


def exact_hessian(mdp):
    hessian = torch.func.hessian(mdp.expected_return)(mdp.theta["logits"])
    return hessian.reshape(STATES * ACTIONS, -1)


def terms(mdp):
    """H1, H2 and H12 of Rothfuss et al. (2019), section 5, from their definitions, with q from dynamic programming."""
    logits = mdp.theta["logits"]
    n = STATES * ACTIONS

    def q(at):
        policy = torch.softmax(at, 1)
        values, tables = torch.zeros(STATES, dtype=torch.float64), []
        for _ in range(HORIZON):
            table = mdp.rewards + mdp.moves @ values
            tables.insert(0, table)
            values = (policy * table).sum(1)
        return torch.stack(tables)

    score = torch.func.jacrev(mdp.log_policy)(logits).reshape(-1, HORIZON, n)
    curvature = torch.func.hessian(mdp.log_policy)(logits).reshape(-1, HORIZON, n, n)
    slope = torch.func.jacrev(q)(logits).reshape(HORIZON, STATES, ACTIONS, n)
    slope = slope[torch.arange(HORIZON), mdp.states, mdp.actions]
    p = mdp.probabilities(logits)
    h1 = torch.einsum("e,eti,etj,et->ij", p, score, score, mdp.to_go)
    h2 = torch.einsum("e,etij,et->ij", p, curvature, mdp.to_go)
    h12 = torch.einsum("e,eti,etj->ij", p, score, slope)
    return h1, h2, h12


def test_every_surrogate_has_the_policy_gradient(mdp):
    logits = mdp.theta["logits"]
    exact = torch.func.grad(mdp.expected_return)(logits)
    for estimator in SURROGATES:
        loss = mdp.surrogate(estimator)
        found = torch.func.grad(lambda at, loss=loss: -loss({"logits": at[None]}, mdp.batch(logits)).sum())(logits)
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-10)


def test_dice_has_the_hessian_of_the_return(mdp):
    torch.testing.assert_close(mdp.expected_hessian("dice"), exact_hessian(mdp), rtol=0, atol=1e-8)


def test_dice_with_a_baseline_keeps_it(mdp):
    """Any function of the state may be subtracted from the returns."""
    logits = mdp.theta["logits"]
    batch, loss = mdp.batch(logits), mdp.surrogate("dice")
    baseline = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)[mdp.states][None]
    batch = batch._replace(advantages=batch.advantages - baseline)
    hessian = torch.func.hessian(lambda at: -loss({"logits": at[None]}, batch).sum())(logits)
    torch.testing.assert_close(hessian.reshape(6, 6), exact_hessian(mdp), rtol=0, atol=1e-8)


def test_low_variance_curvature_leaves_out_the_cross_terms_and_nothing_else(mdp):
    h1, h2, h12 = terms(mdp)
    torch.testing.assert_close(h1 + h2 + h12 + h12.mT, exact_hessian(mdp), rtol=0, atol=1e-10)
    torch.testing.assert_close(mdp.expected_hessian("low-variance"), h1 + h2, rtol=0, atol=1e-10)
    assert float(h12.abs().max()) > 0.02


@pytest.mark.parametrize("estimator", ["naive", "e-maml"])
def test_the_naive_surrogate_leaves_out_the_outer_products_as_well(mdp, estimator):
    _, h2, _ = terms(mdp)
    found = mdp.expected_hessian(estimator)
    torch.testing.assert_close(found, h2, rtol=0, atol=1e-10)
    bias = (found - exact_hessian(mdp)).norm() / exact_hessian(mdp).norm()
    missing = (mdp.expected_hessian("low-variance") - exact_hessian(mdp)).norm() / exact_hessian(mdp).norm()
    assert bias > 0.5
    assert 0.05 < missing < bias
