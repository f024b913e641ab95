import itertools

import pytest
import torch

from metarl.adaptation.adapter import adapt_step, initial_state, replay
from metarl.adaptation.gradient import GradientDescent
from metarl.algorithms.meta_gradient import score_function_term, value_and_grad
from metarl.core.collectives import mean_over_tasks
from tests.helpers.tiny_mdp import HORIZON, LR


def meta_gradient(mdp, estimator):
    """Of the return after one step of the expected inner update, as maml computes it, from exact expectations."""
    logits = mdp.theta["logits"]
    support, loss, adapter = mdp.batch(logits), mdp.surrogate(estimator), GradientDescent(LR)

    def outer(theta):
        adapted = replay(loss, theta, [support], adapter, 1)
        return mdp.expected_return(adapted["logits"][0])

    return value_and_grad(outer, mdp.theta)[1]["logits"]


def test_dice_has_the_meta_gradient_of_the_expected_inner_update(mdp):
    exact = torch.func.grad(
        lambda at: mdp.expected_return(at + LR * torch.func.grad(mdp.expected_return)(at))
    )(mdp.theta["logits"])  # fmt: skip
    torch.testing.assert_close(meta_gradient(mdp, "dice"), exact, rtol=0, atol=1e-8)
    errors = {e: float((meta_gradient(mdp, e) - exact).norm() / exact.norm()) for e in ("low-variance", "naive")}
    assert 0.01 < errors["low-variance"] < errors["naive"]


@pytest.mark.parametrize("episodes", [1, 2])
def test_naive_and_score_have_the_meta_gradient_of_the_sampled_inner_update(mdp, episodes):
    """Every support batch of one and two episodes, each a task of its own, weighted by its probability."""
    logits = mdp.theta["logits"]
    chosen = torch.tensor(list(itertools.product(range(len(mdp.states)), repeat=episodes)))
    adapter = GradientDescent(LR)

    def after(theta, supports):
        adapted = replay(mdp.inner_loss, theta, supports, adapter, len(chosen))["logits"]
        return torch.func.vmap(mdp.expected_return)(adapted)

    def sampled_objective(at):
        """Probability of the support batch times the return after its update, both functions of theta."""
        p = mdp.probabilities(at)[chosen].prod(1)
        return (p * after({"logits": at}, [mdp.batch_of(chosen, at)])).sum()

    exact = torch.func.grad(sampled_objective)(logits)
    supports = [mdp.batch_of(chosen, logits)]
    p = mdp.probabilities(logits)[chosen].prod(1)
    objective = after(mdp.theta, supports).detach()

    def expectation_of(losses):
        return value_and_grad(lambda theta: (p * losses(theta)).sum(), mdp.theta)[1]["logits"]

    # The tasks are all outcomes of one and the same task, so that the mean drops out of the expectation. The credit is
    # divided by the deviation of all objectives, and the log-likelihood by the number of actions.
    scale = objective.std(correction=0) * episodes * HORIZON
    naive = expectation_of(lambda theta: after(theta, supports))
    score = scale * expectation_of(lambda theta: -score_function_term(mdp, theta, supports, objective, adapter))
    torch.testing.assert_close(naive + score, exact, rtol=0, atol=1e-8)
    assert float(score.norm() / exact.norm()) > 0.02


def test_the_score_of_two_steps_credits_both(mdp):
    """Two inner steps: the second step's data is drawn with parameters that the first step's data led to."""
    adapter, generator = GradientDescent(LR), torch.Generator().manual_seed(1)
    drawn = torch.randint(len(mdp.states), (2, 4, 1), generator=generator)
    supports, at = [], initial_state(mdp.theta, 4)
    for chosen in drawn:
        log_probs = torch.stack([mdp.log_policy(x)[c] for x, c in zip(at.params["logits"], chosen, strict=True)])
        supports.append(mdp.batch_of(chosen, mdp.theta["logits"])._replace(log_probs=log_probs))
        at = adapt_step(mdp.inner_loss, at, supports[-1], adapter)
    objective = torch.tensor([1.0, -0.5, 0.3, 2.0], dtype=torch.float64)

    def by_hand(theta):
        total = 0
        for task in range(4):
            x = theta["logits"]
            credit = (objective[task] - objective.mean()) / objective.std(correction=0)
            for chosen in drawn[:, task, 0]:
                total = total - credit * mdp.log_policy(x)[chosen].mean() / 4
                loss = lambda z, c=chosen: -(mdp.log_policy(z)[c] * mdp.to_go[c]).sum()  # noqa: E731
                x = x - LR * torch.func.grad(loss)(x)
        return total

    _, found = value_and_grad(
        lambda t: mean_over_tasks(score_function_term(mdp, t, supports, objective, adapter)), mdp.theta
    )
    _, expected = value_and_grad(by_hand, mdp.theta)
    torch.testing.assert_close(found["logits"], expected["logits"], rtol=0, atol=1e-10)
