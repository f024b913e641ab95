"""That a meta-iteration stays on its device, without one: tensors of torch's `meta` device have no values to ask for.

Whatever would make the host wait for an accelerator (`bool`, `item`, a copy) raises on them.
"""

import pytest
import torch

from benchmarks.fewshot.supervised import Examples, Supervised, negative_squared_error, squared_error
from metarl.adaptation.adapter import adapt_step, initial_state, replay
from metarl.adaptation.gradient import GradientDescent
from metarl.algorithms.meta_gradient import value_and_grad
from metarl.algorithms.trust_region import GaussNewton, ravel
from metarl.core.collectives import mean_over_tasks
from metarl.core.prng import Key
from metarl.families.analytic import AnalyticFamily
from metarl.families.analytic_env import AnalyticVecEnv
from metarl.families.ids.installed import registered
from metarl.families.registry import load_family
from metarl.rl.data import PolicyBatch
from metarl.rl.networks import StackedMLP
from metarl.rl.policies import make_policy
from metarl.rl.problem import ReinforcementLearning
from metarl.rl.rollouts import rollout

META = torch.device("meta")


def analytic_families():
    for name in registered():
        try:
            family = load_family(name)
        except Exception:  # an extra that is not installed
            continue
        if isinstance(family, AnalyticFamily):
            yield from ((name, variant) for variant in family.variants or [None])


def on_meta(params):
    return {name: value.float().to(META) for name, value in params.items()}


@pytest.mark.parametrize(("name", "variant"), list(analytic_families()))
def test_a_rollout_waits_for_its_device_at_no_step(name, variant, monkeypatch):
    family = load_family(name, variant)
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(4,))
    envs = AnalyticVecEnv(family, family.sample_tasks(2, "meta-train", Key(1).generator()), 3, device=META)
    taken, step = [], envs.step
    monkeypatch.setattr(envs, "step", lambda actions: taken.append(step(actions)) or taken[-1])
    # After the last step the rollout looks at its data once, and there it has to wait.
    with pytest.raises(RuntimeError, match="meta tensors"):
        rollout(
            envs, policy, initial_state(on_meta(policy.initialise(Key(1))), 2).params, Key(2), horizon=family.horizon
        )
    assert len(taken) == family.horizon


def test_learning_from_episodes_waits_for_its_device_nowhere(family):
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(4,))
    theta = on_meta(policy.initialise(Key(1)))
    problem = ReinforcementLearning(policy, lambda tasks: None, horizon=5, episodes=3)
    numbers = torch.empty(2, 3, 5, device=META)
    data = PolicyBatch(torch.empty(2, 3, 5, 2, device=META), torch.empty(2, 3, 5, 2, device=META), *[numbers] * 3)
    adapter = GradientDescent(0.1)

    def adapted(at):
        return replay(problem.inner_loss, at, [data], adapter, 2)

    loss, gradient = value_and_grad(lambda at: mean_over_tasks(problem.outer_loss(adapted(at), data)), theta)
    fisher = GaussNewton(lambda at: problem.distribution(adapted(at), data), theta, data.weights, damping=1e-5)
    product = fisher(ravel(gradient))
    assert loss.device == product.device == META


def test_learning_from_examples_waits_for_its_device_nowhere():
    network = StackedMLP(1, 1, (4,), "relu")
    theta = on_meta(network.initialise(Key(1)))
    data = Examples(*(torch.empty(2, n, 1, device=META) for n in (6, 6, 4, 4)))
    problem = Supervised(network, lambda tasks: data, squared_error, negative_squared_error, minibatch=3)
    adapter, at = GradientDescent(0.1), initial_state(theta, 2)
    for step in range(2):
        collected = problem.collect(at.params, {}, Key(2).at(step))
        at = adapt_step(problem.inner_loss, at, collected.data, adapter)
    assert collected.performance.device == problem.outer_loss(at.params, collected.data).device == META
