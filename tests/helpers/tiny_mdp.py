import itertools

import torch

from metarl.rl.data import PolicyBatch
from metarl.rl.distributions import Categorical
from metarl.rl.losses import SURROGATES

STATES, ACTIONS, HORIZON = 3, 2, 3
LR = 0.4


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
