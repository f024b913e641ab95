"""The score term of E-MAML: what `collect` returns for it, what each task is credited, and what it estimates."""

import pytest
import torch

from benchmarks.fewshot.supervised import Examples, Supervised, negative_squared_error, squared_error
from metarl.adaptation.adapter import replay, stack
from metarl.adaptation.gradient import GradientDescent
from metarl.algorithms.meta_gradient import score_function_term, standardised_over_tasks, value_and_grad
from metarl.config.algorithms import MamlConfig
from metarl.config.run import PolicyConfig
from metarl.core.collectives import mean_over_tasks
from metarl.core.prng import Key
from metarl.core.ranks import share
from metarl.core.seed_axis import use_seed_axis
from metarl.rl.setup import build_family, build_policy, build_problem
from tests.helpers.processes import Numbered, everyone
from tests.helpers.tiny_mdp import HORIZON, LR, TinyMDP

GAMMA = 0.9


def collected_on(family, variant, tasks, **options):
    """What `collect` returns, and the episodes that it collected."""
    config = MamlConfig(
        family=family, variant=variant, gamma=GAMMA, dtype="float64", policy=PolicyConfig(hidden_sizes=(8,)), **options
    )
    opened = build_family(config)
    policy = build_policy(config, opened.observation_space, opened.action_space)
    problem = build_problem(config, opened, policy)
    sampled = opened.sample_tasks(tasks, "meta-train", Key(1).generator())
    theta = policy.initialise(Key(2))
    params = {name: value.double() for name, value in stack(theta, tasks).items()}
    found, episodes = problem.collect(params, sampled, Key(3)), problem.episodes_of(params, sampled, Key(3))[0]
    problem.close()
    opened.close()
    return problem, params, found, episodes


@pytest.mark.parametrize(
    ("family", "variant", "options"),
    [
        ("coupled-direction", None, {"episodes": 3}),
        # Episodes that end early, and tasks with unlike numbers of them: rows that hold none must not count.
        ("cartpole", None, {"episodes": 2, "samples_per_step": 60}),
    ],
)
def test_the_objective_is_the_mean_discounted_return(family, variant, options):
    problem, params, found, episodes = collected_on(family, variant, 6, **options)
    for task in range(6):
        returns = []
        for rewards, mask in zip(episodes.rewards[task].tolist(), episodes.mask[task].tolist(), strict=True):
            if mask[0]:
                returns.append(sum(GAMMA**t * r for t, r in enumerate(rewards[: sum(mask)])))
        assert float(found.objective[task]) == pytest.approx(sum(returns) / len(returns), rel=1e-12)
    if family == "cartpole":
        assert not bool(episodes.mask.all())
        assert len(set(episodes.mask[..., 0].sum(1).tolist())) > 1
    mean = found.data.log_probs.flatten(1).sum(1) / found.transitions
    torch.testing.assert_close(problem.log_likelihood(params, found.data), mean)


def test_supervised_tasks_are_credited_minus_their_query_loss():
    generator = torch.Generator().manual_seed(0)
    data = Examples(*(torch.randn(3, n, 1, generator=generator) for n in (4, 4, 5, 5)))
    problem = Supervised(lambda params, x: x * params["a"][:, None], lambda tasks: data, squared_error,
                         negative_squared_error)  # fmt: skip
    found = problem.collect({"a": torch.tensor([[1.0], [2.0], [3.0]])}, {}, Key(0))
    for task, a in enumerate((1.0, 2.0, 3.0)):
        loss = (a * data.query_inputs[task] - data.query_targets[task]).square().mean()
        assert float(found.objective[task]) == pytest.approx(-float(loss))


class Credited:
    """A problem whose log-likelihood is the only parameter, which is one, so that the score is minus the credit."""

    def log_likelihood(self, params, data):
        return params["x"]

    def inner_loss(self, params, data):
        return 0 * params["x"]


def credits(objective):
    """What each task's support actions are credited by `sampling_score`."""
    theta = {"x": torch.ones((), dtype=torch.float64)}
    return -score_function_term(Credited(), theta, [None], objective, GradientDescent(1.0)).detach()


def test_a_task_of_higher_return_is_never_credited_less():
    """By the returns that `collect` brings, of a policy that is good at some directions and bad at others."""
    _, _, found, episodes = collected_on("coupled-direction", None, 40, episodes=3)
    steps = GAMMA ** torch.arange(episodes.rewards.shape[-1], dtype=torch.float64)
    returns = (episodes.rewards @ steps).mean(1)
    credit = credits(found.objective)
    higher, more = returns[:, None] > returns, credit[:, None] > credit
    assert torch.equal(higher, more)
    assert float(credit.mean()) == pytest.approx(0, abs=1e-12)
    assert float(credit.std(correction=0)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("value", [-7.3, 0.0, 1e6])
def test_nothing_is_credited_where_all_objectives_are_the_same(value):
    assert credits(torch.full((5,), value, dtype=torch.float64)).abs().max() < 1e-6
    assert credits(torch.tensor([value])).tolist() == [0.0]
    rounded = torch.full((5,), value).nextafter(torch.tensor(1e9))
    rounded[0] = value
    assert credits(rounded).abs().max() < 0.1


def test_the_score_is_unbiased_up_to_a_factor_that_tasks_share():
    """Every meta-batch of two tasks with one support episode each, a seed of its own, weighted by its probability.

    The factor is (n - 1) / n, over the deviation of the objectives and the number of actions. What it multiplies has
    the gradient of the expected return after adaptation by the distribution of the support data alone.
    """
    mdp = TinyMDP()
    logits, adapter, n = mdp.theta["logits"], GradientDescent(LR), 2
    p = mdp.probabilities(logits)
    pairs = torch.cartesian_prod(torch.arange(len(p)), torch.arange(len(p)))
    supports = [mdp.batch_of(pairs.reshape(-1, 1), logits)]
    theta = {"logits": logits.expand(len(pairs), *logits.shape)}
    with use_seed_axis(len(pairs)):
        adapted = replay(mdp.inner_loss, theta, supports, adapter, n * len(pairs))["logits"]
        objective = torch.func.vmap(mdp.expected_return)(adapted)
        _, found = value_and_grad(
            lambda t: mean_over_tasks(score_function_term(mdp, t, supports, objective, adapter)), theta
        )
    by_pair = objective.reshape(-1, n)
    deviation = (by_pair[:, 0] - by_pair[:, 1]).abs() / 2
    one_over_factor = n / (n - 1) * deviation * HORIZON
    estimate = -(p[pairs].prod(1) * one_over_factor) @ found["logits"].flatten(1)

    outcomes = by_pair.reshape(len(p), len(p), n)[:, 0, 0]
    exact = torch.func.grad(lambda at: (mdp.probabilities(at) * outcomes).sum())(logits)
    torch.testing.assert_close(estimate, exact.flatten(), rtol=0, atol=1e-7)
    assert float(exact.abs().max()) > 0.005


OBJECTIVE = torch.tensor([3.0, -1.0, 0.5, 7.0, 2.5], dtype=torch.float64)


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_ranks_share_one_mean_and_one_deviation(ranks):
    expected = (OBJECTIVE - OBJECTIVE.mean()) / OBJECTIVE.std(correction=0)
    found = everyone(ranks, lambda i: standardised_over_tasks(OBJECTIVE[share(5, Numbered(i, ranks))]))
    torch.testing.assert_close(torch.cat(found), expected, rtol=0, atol=1e-7)


def test_seeds_of_a_batch_have_each_their_own():
    both = torch.cat([OBJECTIVE, 1000 - 50 * OBJECTIVE.flip(0)])
    with use_seed_axis(2):
        found = standardised_over_tasks(both)
    for seed in range(2):
        own = slice(5 * seed, 5 * seed + 5)
        torch.testing.assert_close(found[own], standardised_over_tasks(both[own]), rtol=1e-12, atol=1e-12)
