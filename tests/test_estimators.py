"""What each inner surrogate estimates, on an MDP small enough to enumerate every episode.

Three states, two actions, three steps: 216 episodes. A batch that holds all of them, weighted by their
probability, turns a surrogate into its own expectation. Rewards are summed and advantages are not normalised.
"""

import itertools

import pytest
import torch

from metarl.adaptation.adapter import adapt_step, initial_state, replay
from metarl.adaptation.gradient import GradientDescent
from metarl.algorithms.meta_gradient import score_function_term, value_and_grad
from metarl.core.collectives import mean_over_tasks
from metarl.rl.data import PolicyBatch
from metarl.rl.distributions import Categorical
from metarl.rl.losses import SURROGATES

STATES, ACTIONS, HORIZON = 3, 2, 3
LR = 0.4


@pytest.fixture(scope="module")
def mdp():
    return TinyMDP()


class TinyMDP:
    """Random transitions and rewards r(s, a); a tabular softmax policy with parameters `logits`."""

    def __init__(self):
        generator = torch.Generator().manual_seed(5)
        self.start = torch.softmax(torch.randn(STATES, generator=generator, dtype=torch.float64), 0)
        self.moves = torch.softmax(
            1.5 * torch.randn(STATES, ACTIONS, STATES, generator=generator, dtype=torch.float64), 2
        )
        self.rewards = torch.randn(STATES, ACTIONS, generator=generator, dtype=torch.float64)
        self.theta = {"logits": 0.7 * torch.randn(STATES, ACTIONS, generator=generator, dtype=torch.float64)}
        paths = list(itertools.product(range(STATES), range(ACTIONS), repeat=HORIZON))
        table = torch.tensor(paths).reshape(-1, HORIZON, 2)
        self.states, self.actions = table[..., 0], table[..., 1]
        gained = self.rewards[self.states, self.actions]
        self.to_go = gained.flip(1).cumsum(1).flip(1)
        self.total = gained.sum(1)

    def distribution(self, params, states):
        """For params (tasks, states, actions) and states (tasks, episodes, steps)."""
        task = torch.arange(len(states))[:, None, None]
        return Categorical(params["logits"][task, states])

    def log_policy(self, logits):
        """Log-probability of each episode's actions, (episodes, steps)."""
        return torch.log_softmax(logits, 1)[self.states, self.actions]

    def probabilities(self, logits):
        """Of every episode."""
        moved = self.moves[self.states[:, :-1], self.actions[:, :-1], self.states[:, 1:]].prod(1)
        return self.start[self.states[:, 0]] * moved * self.log_policy(logits).sum(1).exp()

    def expected_return(self, logits):
        return (self.probabilities(logits) * self.total).sum()

    def batch(self, logits):
        """All episodes of one task, weighted by their probability under `logits`."""
        weights = self.probabilities(logits)[:, None].expand(-1, HORIZON)
        return self._batch(self.states[None], self.actions[None], logits, self.to_go[None], weights[None])

    def batch_of(self, chosen, logits):
        """One task for each row of `chosen`, its data the episodes of that row with weight one each."""
        ones = torch.ones(*chosen.shape, HORIZON, dtype=torch.float64)
        return self._batch(self.states[chosen], self.actions[chosen], logits, self.to_go[chosen], ones)

    def _batch(self, states, actions, logits, advantages, weights):
        logits = logits.detach()
        log_probs = torch.log_softmax(logits, 1)[states, actions]
        return PolicyBatch(states, actions, log_probs, advantages, weights.detach())

    def surrogate(self, estimator):
        return lambda params, batch: SURROGATES[estimator](self.distribution(params, batch.observations), batch)

    def expected_hessian(self, estimator):
        """Of the surrogate return, at the parameters that acted."""
        logits = self.theta["logits"]
        batch, loss = self.batch(logits), self.surrogate(estimator)
        hessian = torch.func.hessian(lambda at: -loss({"logits": at[None]}, batch).sum())(logits)
        return hessian.reshape(STATES * ACTIONS, -1)

    # What follows makes it a problem for the outer updates' own functions.

    def inner_loss(self, params, batch):
        return self.surrogate("e-maml")(params, batch)

    def log_likelihood(self, params, batch):
        return self.distribution(params, batch.observations).log_prob(batch.actions).mean((1, 2))


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
