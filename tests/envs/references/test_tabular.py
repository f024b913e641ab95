"""Planning against an enumeration of policies and trajectories, PSRL against closed forms and published rows."""

import itertools

import numpy as np
import pytest
from scipy.stats import norm

from metarl_envs.references.tabular import (
    Posterior,
    known_mdp,
    plan,
    policy_values,
    posterior_sampling,
    uniform_actions,
)
from metarl_envs.tabular import TabularMDP

STATES, ACTIONS, HORIZON = 2, 2, 3


def random_mdps(n, states=STATES, actions=ACTIONS):
    rng = np.random.default_rng(3)
    return {
        "transitions": rng.dirichlet(np.ones(states), (n, states, actions)),
        "rewards": rng.normal(size=(n, states, actions)),
    }


def value_by_trajectories(transitions, rewards, chooses, horizon=HORIZON):
    """Expected return from state 0, over all trajectories; chooses(time, state) has probabilities of actions."""
    total = 0.0
    for states in itertools.product(range(len(rewards)), repeat=horizon):
        for actions in itertools.product(range(rewards.shape[1]), repeat=horizon):
            chance = float(states[0] == 0)
            for time, (state, action) in enumerate(zip(states, actions, strict=True)):
                chance *= chooses(time, state)[action]
                if time + 1 < horizon:
                    chance *= transitions[state, action, states[time + 1]]
            total += chance * sum(rewards[s, a] for s, a in zip(states, actions, strict=True))
    return total


def deterministic(actions):
    return lambda time, state: np.eye(ACTIONS)[actions[time][state]]


def all_policies():
    choices = itertools.product(range(ACTIONS), repeat=HORIZON * STATES)
    return [np.array(flat).reshape(HORIZON, STATES) for flat in choices]


def test_plans_are_the_best_of_all_policies():
    tasks = random_mdps(3)
    found = plan(tasks["transitions"], tasks["rewards"], HORIZON)
    oracle = known_mdp(tasks, 2, 1, None, horizon=HORIZON)
    for i in range(3):
        task = tasks["transitions"][i], tasks["rewards"][i]
        best = max(value_by_trajectories(*task, deterministic(policy)) for policy in all_policies())
        assert found.values[i, 0, 0].max() == pytest.approx(best)
        assert value_by_trajectories(*task, deterministic(found.actions[i])) == pytest.approx(best)
        np.testing.assert_allclose(oracle[i], best)


def test_values_of_policies_and_of_uniform_actions():
    tasks = random_mdps(2)
    policies = np.stack(all_policies()[20:22])
    found = policy_values(tasks["transitions"], tasks["rewards"], policies)[:, 0]
    uniform = uniform_actions(tasks, 2, 1, None, horizon=HORIZON)
    for i in range(2):
        task = tasks["transitions"][i], tasks["rewards"][i]
        assert found[i] == pytest.approx(value_by_trajectories(*task, deterministic(policies[i])))
        even = value_by_trajectories(*task, lambda time, state: np.full(ACTIONS, 1 / ACTIONS))
        np.testing.assert_allclose(uniform[i], even)


def test_posterior_after_observations_by_hand():
    """Rewards 3 and 6 with unit variance and prior N(0, 1): mean 9/3, precision 3; counts are added to ones."""
    posterior = Posterior((2, STATES, ACTIONS), prior_mean=0.0)
    for reward, following in ((3.0, 1), (6.0, 1)):
        posterior.observe(np.array([0, 1]), np.array([1, 0]), np.array([reward, -reward]), np.array([following, 0]))
    assert posterior.means.tolist() == [[[0, 3], [0, 0]], [[0, 0], [-3, 0]]]
    assert posterior.precisions.tolist() == [[[1, 3], [1, 1]], [[1, 1], [3, 1]]]
    assert posterior.counts[0, 0, 1].tolist() == [1, 3]
    assert posterior.counts[1, 1, 0].tolist() == [3, 1]
    assert posterior.counts.sum() == 2 * STATES * ACTIONS * STATES + 4


def test_draws_of_the_posterior_have_its_moments():
    posterior = Posterior((20_000, 1, 1), prior_mean=2.0)
    posterior.counts = np.tile([1.0, 3.0], (20_000, 1, 1, 1))
    posterior.precisions[:] = 4.0
    transitions, rewards = posterior.draw(np.random.default_rng(0))
    assert transitions.mean((0, 1, 2)) == pytest.approx([1 / 4, 3 / 4], abs=0.008)
    assert transitions[..., 0].var() == pytest.approx(3 / (16 * 5), rel=0.05)
    assert (rewards.mean(), rewards.std()) == pytest.approx((2, 1 / 2), abs=0.02)


ARMS = {"transitions": np.ones((1, 1, 2, 1)), "rewards": np.array([[[1.5, -0.5]]])}


def again(mean, prior_mean, samples):
    """P(the arm that was pulled once is pulled again) in a Gaussian bandit of two arms, integrated numerically.

    Its reward is N(mean, 1), its posterior N((prior + reward) / 2, 1/2), that of the other arm N(prior, 1); the highest
    of as many draws as there are samples decides.
    """
    x = np.linspace(-12, 12, 4001)
    other = norm.cdf(x, prior_mean) ** samples
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    chances = []
    for reward in mean + nodes:
        own = norm((prior_mean + reward) / 2, np.sqrt(0.5))
        density = samples * own.pdf(x) * own.cdf(x) ** (samples - 1)
        chances.append(np.trapezoid(density * other, x))
    return weights @ chances / weights.sum()


@pytest.mark.parametrize(("prior_mean", "samples"), [(0.0, 1), (1.0, 1), (1.0, 3)])
def test_second_episode_of_a_bandit_in_closed_form(prior_mean, samples):
    found = posterior_sampling(
        ARMS, 2, 20_000, np.random.default_rng(0), horizon=1, prior_mean=prior_mean, samples=samples
    )
    good, bad = ARMS["rewards"][0, 0]
    chances = again(good, prior_mean, samples), 1 - again(bad, prior_mean, samples)
    right = np.mean(chances)
    expected = [(good + bad) / 2, right * good + (1 - right) * bad]
    np.testing.assert_allclose(found[0], expected, atol=0.03)  # four standard deviations


def test_the_second_episode_plans_with_what_the_first_showed():
    """From the start one action leads to a rich state and the other to a poor one."""
    transitions = np.zeros((1, 3, 2, 3))
    transitions[0, 0, 0, 1] = transitions[0, 0, 1, 2] = 1
    transitions[0, 1:, :, 0] = 1
    task = {"transitions": transitions, "rewards": np.array([[[0.0, 0.0], [10.0, 10.0], [-10.0, -10.0]]])}
    found = posterior_sampling(task, 60, 50, np.random.default_rng(0), horizon=4)[0]
    assert known_mdp(task, 1, 1, None, horizon=4)[0, 0] == 20
    assert found[-20:].mean() > 18
    assert abs(found[0]) < 8


def family_tasks(n, seed=0):
    return TabularMDP().sample_tasks(n, "meta-train", np.random.default_rng(seed))


def sampled(tasks, name, episodes=10):
    found = TabularMDP().references()[name].measure(tasks, episodes, 1, np.random.default_rng(1))
    return found.sum(1)


def within(values, published, errors=4.0, own=0.0):
    return abs(values.mean() - published) < errors * np.hypot(values.std() / np.sqrt(len(values)), own)


def test_exact_rows_of_the_published_size():
    tasks = family_tasks(1500)
    assert within(sampled(tasks, "oracle", 1), 21.82, own=0.05)
    assert within(sampled(tasks, "random"), 100.0)


def test_rows_of_ten_episodes():
    """On the same 400 tasks the wrong prior mean, 0, is better than the true one, by 5.1."""
    tasks = family_tasks(400)
    wrong, true = sampled(tasks, "psrl-mean-0"), sampled(tasks, "psrl")
    assert within(wrong, 138.7, own=0.4)
    assert within(true, 133.6, own=0.3)
    assert within(wrong - true, 5.1, own=0.5)


@pytest.mark.slow
def test_rows_of_ten_episodes_closely():
    tasks = family_tasks(4000)
    assert within(sampled(tasks, "psrl-mean-0"), 138.7, own=0.4)
    assert within(sampled(tasks, "psrl"), 133.6, own=0.3)
    assert within(sampled(tasks, "psrl-mean-0", 25), 409.3, own=0.9)
    assert within(sampled(tasks, "psrl", 25), 404.2, own=0.8)
    assert within(sampled(family_tasks(1000), "opsrl-mean-0"), 144.1, own=0.8)  # published, samples chosen on the test
