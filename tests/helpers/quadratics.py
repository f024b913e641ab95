import torch

from metarl.adaptation.adapter import stack
from metarl.adaptation.gradient import GradientDescent
from metarl.adaptation.problem import Collected
from metarl.core.prng import Key
from metarl.rl.data import PolicyBatch


class Quadratics:
    """Four tasks 0.5 x^T A x - b^T x; the data of every step is the task itself."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        root = torch.randn(4, 3, 3, generator=generator, dtype=torch.float64)
        self.a = root @ root.mT / 3 + 0.2 * torch.eye(3, dtype=torch.float64)
        self.b = torch.randn(4, 3, generator=generator, dtype=torch.float64)
        self.theta = {"x": torch.randn(3, generator=generator, dtype=torch.float64)}
        self.tasks = {"index": self.b.numpy()}

    def collect(self, params, tasks, key, memory=None):
        score = -self.inner_loss(params, (self.a, self.b))
        return Collected((self.a, self.b), score, torch.tensor([3, 3, 2, 2]), score)

    def inner_loss(self, params, data):
        return quadratic(params, data)

    outer_loss = inner_loss

    def gradient(self, x):
        """Of each task's loss at its own x (tasks, 3)."""
        return torch.einsum("tij,tj->ti", self.a, x) - self.b


def step_of(algorithm, problem, config, state=None, progress=0.0):
    adapter = GradientDescent(config.inner.lr, first_order=config.inner.first_order)
    state = state or algorithm.initial_state(problem.theta, config)
    return algorithm.meta_step(state, problem, problem.tasks, Key(0), adapter, config, progress)


def quadratic(params, data):
    """0.5 x^T A x - b^T x for every task."""
    a, b = data
    x = params["x"]
    return 0.5 * torch.einsum("ti,tij,tj->t", x, a, x) - (b * x).sum(1)


def random_batch(policy, theta, tasks, seed, episodes=3, steps=5):
    """A batch with ragged episodes, in float64, collected by nobody in particular."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    observations, actions = randn(tasks, episodes, steps, 2), randn(tasks, episodes, steps, 2)
    mask = torch.arange(steps) < torch.randint(1, steps + 1, (tasks, episodes, 1), generator=generator)
    weights = mask / mask.sum((1, 2), keepdim=True)
    log_probs = policy.act(stack(theta, tasks), observations)[0].log_prob(actions).detach()
    return PolicyBatch(observations, actions, log_probs, randn(tasks, episodes, steps), weights.double())
