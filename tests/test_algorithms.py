"""Every outer update in closed form on quadratics, and through training."""

from dataclasses import replace

import pytest
import torch
from conftest import central_differences
from test_inner import quadratic, random_batch
from test_training import assert_same_run

from metarl.adaptation.adapter import adapt_step, initial_state, replay
from metarl.adaptation.gradient import GradientDescent, add_learned_rates, within_bounds
from metarl.adaptation.problem import Collected
from metarl.algorithms import maml, maml_trpo, pretrain, promp, reptile
from metarl.algorithms.adam import AdamState, adam_step, decayed
from metarl.algorithms.meta_gradient import value_and_grad
from metarl.algorithms.trust_region import ravel, unravel
from metarl.config.algorithms import AdamConfig, MamlConfig, MamlTrpoConfig, PretrainConfig, PrompConfig, ReptileConfig
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.config.validation import validate
from metarl.core.collectives import mean_over_tasks
from metarl.core.errors import ConfigError
from metarl.core.params import RATE
from metarl.core.prng import Key
from metarl.rl.data import PolicyBatch
from metarl.rl.distributions import Gaussian
from metarl.rl.losses import clipped_surrogate, ratio_surrogate
from metarl.rl.setup import build_problem
from metarl.runs.directory import read_metrics
from metarl.training.start import resume, train

CONFIGS = {
    "maml-trpo": MamlTrpoConfig,
    "maml": MamlConfig,
    "promp": PrompConfig,
    "reptile": ReptileConfig,
    "pretrain": PretrainConfig,
}


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


def test_adam_is_torchs_adam():
    theta = {"x": torch.tensor([1.0, -2.0], dtype=torch.float64)}
    state = AdamState.zero(theta)
    leaf = theta["x"].clone().requires_grad_()
    reference = torch.optim.Adam([leaf], lr=0.05, betas=(0.9, 0.999), eps=1e-8)
    for gradient in ([3.0, 1.0], [-1.0, 0.5], [0.2, 7.0]):
        leaf.grad = torch.tensor(gradient, dtype=torch.float64)
        reference.step()
        theta, state = adam_step(theta, {"x": leaf.grad}, state, AdamConfig(lr=0.05), 1.0)
        state = AdamState.from_params(state.to_params(), theta)
        torch.testing.assert_close(theta["x"], leaf.detach())


def test_decay_is_linear_or_none():
    assert [decayed("linear", p) for p in (0.0, 0.25, 0.5)] == [1.0, 0.75, 0.5]
    assert decayed("none", 0.5) == 1.0


@pytest.mark.parametrize("first_order", [False, True])
def test_maml_steps_along_the_meta_gradient(first_order):
    """mean over tasks of (I - lr A)(A x' - b) with x' = x - lr (A x - b); first-order drops I - lr A."""
    problem = Quadratics()
    config = MamlConfig(inner=InnerConfig(lr=0.1, first_order=first_order), adam=AdamConfig(lr=0.01))
    x = problem.theta["x"].expand(4, 3)
    outer = problem.gradient(x - 0.1 * problem.gradient(x))
    hessian_term = 0 if first_order else torch.einsum("tij,tj->ti", -0.1 * problem.a, outer)
    expected, _ = adam_step(
        problem.theta, {"x": (outer + hessian_term).mean(0)}, AdamState.zero(problem.theta), config.adam, 0.5
    )
    state, metrics = step_of(maml, problem, config, progress=0.5)
    torch.testing.assert_close(state["theta"]["x"], expected["x"])
    assert metrics["transitions"] == 20
    assert len(metrics["return"]) == 2


def test_reptile_with_one_step_is_joint_training():
    problem = Quadratics()
    config = ReptileConfig(inner=InnerConfig(lr=0.1, steps=1), outer="plain", step_size=0.5)
    state, metrics = step_of(reptile, problem, config, progress=0.25)
    joint = problem.gradient(problem.theta["x"].expand(4, 3)).mean(0)
    torch.testing.assert_close(state["theta"]["x"], problem.theta["x"] - 0.75 * 0.5 * 0.1 * joint)
    assert metrics["return"][1] is None
    assert metrics["transitions"] == 10


def test_reptile_moves_towards_the_adapted_parameters():
    problem = Quadratics()
    x = problem.theta["x"].expand(4, 3)
    for _ in range(3):
        x = x - 0.1 * problem.gradient(x)
    difference = problem.theta["x"] - x.mean(0)
    plain, _ = step_of(
        reptile, problem, ReptileConfig(inner=InnerConfig(lr=0.1, steps=3), outer="plain", step_size=1.0)
    )
    torch.testing.assert_close(plain["theta"]["x"], x.mean(0))
    config = ReptileConfig(inner=InnerConfig(lr=0.1, steps=3), adam=AdamConfig(lr=0.01))
    with_adam, _ = step_of(reptile, problem, config)
    expected, _ = adam_step(problem.theta, {"x": difference}, AdamState.zero(problem.theta), config.adam, 1.0)
    torch.testing.assert_close(with_adam["theta"]["x"], expected["x"])


def test_pretraining_is_joint_training():
    problem = Quadratics()
    config = PretrainConfig(adam=AdamConfig(lr=0.01))
    state, metrics = step_of(pretrain, problem, config)
    joint = {"x": problem.gradient(problem.theta["x"].expand(4, 3)).mean(0)}
    expected, _ = adam_step(problem.theta, joint, AdamState.zero(problem.theta), config.adam, 1.0)
    torch.testing.assert_close(state["theta"]["x"], expected["x"])
    assert len(metrics["return"]) == 1


def rl_setup(family, policy, theta, config, seed=0):
    problem = build_problem(replace(config, episodes=3), family, policy)
    problem.horizon = 8
    tasks = family.sample_tasks(3, "meta-train", Key(seed).generator())
    return problem, tasks


def rl_step(algorithm, family, policy, theta, config):
    problem, tasks = rl_setup(family, policy, theta, config)
    adapter = GradientDescent(config.inner.lr, first_order=config.inner.first_order)
    state = algorithm.initial_state(theta, config)
    return algorithm.meta_step(state, problem, tasks, Key(5), adapter, config, 0.0)


def test_one_epoch_of_promp_is_a_maml_step(family, policy, theta):
    """Before the first move every ratio is one and every KL has gradient zero."""
    shared = {"dtype": "float64", "inner": InnerConfig(lr=0.3, steps=2), "adam": AdamConfig(lr=0.01)}
    one, _ = rl_step(promp, family, policy, theta, PrompConfig(epochs=1, **shared))
    other, _ = rl_step(maml, family, policy, theta, MamlConfig(**shared))
    for name in theta:
        torch.testing.assert_close(one["theta"][name], other["theta"][name], rtol=1e-6, atol=1e-9)
    more, metrics = rl_step(promp, family, policy, theta, PrompConfig(epochs=4, **shared))
    assert metrics["outer_loss_before_last_epoch"] < metrics["outer_loss"]
    assert int(more["optimiser"]["steps"]) == 4


def test_pretraining_with_trpo_is_maml_trpo_without_steps(family, policy, theta):
    inner = InnerConfig(lr=0.3, steps=0)
    one, _ = rl_step(pretrain, family, policy, theta, PretrainConfig(dtype="float64", outer="trpo", inner=inner))
    other, _ = rl_step(maml_trpo, family, policy, theta, MamlTrpoConfig(dtype="float64", inner=inner))
    assert all(torch.equal(one["theta"][name], other["theta"][name]) for name in theta)


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


def surrogate(policy):
    return lambda params, batch: ratio_surrogate(policy.act(params, batch.observations)[0], batch)


def test_anil_adapts_the_head_alone(policy, theta):
    adapter = GradientDescent(0.3, pattern="head.*")
    support, query = (random_batch(policy, theta, 2, seed) for seed in (0, 1))
    adapted = adapt_step(surrogate(policy), initial_state(theta, 2), support, adapter).params
    for name, value in adapted.items():
        moved = not torch.equal(value, theta[name].expand_as(value))
        assert moved == name.startswith("head."), name

    def outer(vector):
        params = replay(surrogate(policy), unravel(vector, theta), [support], adapter, 2)
        return mean_over_tasks(surrogate(policy)(params, query))

    _, gradient = value_and_grad(lambda at: outer(ravel(at)), theta)
    expected = central_differences(outer, ravel(theta))
    assert float((ravel(gradient) - expected).abs().max() / expected.abs().max()) < 1e-6
    assert float(gradient["hidden.0.weight"].abs().max()) > 0


@pytest.mark.parametrize("kind", ["per-layer", "per-parameter"])
def test_gradient_of_a_learned_rate_in_closed_form(kind):
    """d/dlr of L(x - lr g) is -g . L'(x - lr g), elementwise or summed."""
    problem = Quadratics()
    theta = add_learned_rates(problem.theta, GradientDescent(0.1), kind)
    assert theta[RATE + "x"].shape == ((3,) if kind == "per-parameter" else ())
    adapter = GradientDescent(0.1)
    _, found = value_and_grad(
        lambda at: mean_over_tasks(
            quadratic(replay(quadratic, at, [(problem.a, problem.b)], adapter, 4), (problem.a, problem.b))
        ),
        theta,
    )
    x = problem.theta["x"].expand(4, 3)
    inner = problem.gradient(x)
    expected = (-inner * problem.gradient(x - 0.1 * inner)).mean(0)
    torch.testing.assert_close(found[RATE + "x"], expected if kind == "per-parameter" else expected.sum())


def test_meta_gradient_with_learned_rates_against_finite_differences(policy, theta):
    adapter = GradientDescent(0.3, 0.1)
    theta = add_learned_rates(theta, adapter, "per-layer")
    supports = [random_batch(policy, theta, 2, seed) for seed in range(2)]
    query = random_batch(policy, theta, 2, 9)

    def outer(vector):
        params = replay(surrogate(policy), unravel(vector, theta), supports, adapter, 2)
        return mean_over_tasks(surrogate(policy)(params, query))

    _, gradient = value_and_grad(lambda at: outer(ravel(at)), theta)
    expected = central_differences(outer, ravel(theta))
    assert float((ravel(gradient) - expected).abs().max() / expected.abs().max()) < 1e-6


def test_learned_rates_stay_within_bounds(theta):
    theta = {"x": torch.ones(2), RATE + "x": torch.tensor([-0.3, 99.0])}
    bounded = within_bounds(theta, 0.5)
    assert bounded[RATE + "x"].tolist() == [0.0, 5.0]
    assert torch.equal(bounded["x"], theta["x"])


def test_a_pattern_that_fits_nothing_is_said(theta):
    with pytest.raises(ConfigError, match=r"--inner.adapt = body.*valid: hidden.0.weight"):
        add_learned_rates(theta, GradientDescent(0.1, pattern="body"), "none")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (ReptileConfig(inner=InnerConfig(steps=3, learned_lr="per-layer")), "rates cannot be learned"),
        (ReptileConfig(inner=InnerConfig(steps=0)), "at least one step"),
        (ReptileConfig(inner=InnerConfig(steps=3, first_order=True)), "no second-order form"),
        (PretrainConfig(inner=InnerConfig(learned_lr="per-parameter")), "rates cannot be learned"),
        (PrompConfig(inner=InnerConfig(steps=0)), "at least one step"),
        (ReptileConfig(inner=InnerConfig(steps=3, adapt="head")), "would stay as it was drawn"),
        (MamlConfig(inner=InnerConfig(optimiser="adam")), "no derivative where a gradient is zero"),
        (MamlConfig(inner=InnerConfig(optimiser="adam", first_order=True, learned_lr="per-layer")), "learned rates"),
        (PrompConfig(inner=InnerConfig(estimator="e-maml")), "only maml can use it"),
        (MamlTrpoConfig(inner=InnerConfig(estimator="e-maml")), "only maml can use it"),
        (MamlConfig(inner=InnerConfig(adapt="context")), "add --policy.context 2"),
        (MamlConfig(policy=PolicyConfig(context=2)), "--inner.adapt context"),
        (ReptileConfig(inner=InnerConfig(steps=3, adapt="context"), policy=PolicyConfig(context=2)), "Reptile moves"),
    ],
)
def test_combinations_that_make_no_sense_are_refused_with_the_reason(config, reason):
    with pytest.raises(ConfigError, match=reason):
        validate(config)


VARIANTS = [
    ("maml", {}),
    ("maml", {"inner": InnerConfig(lr=0.3, first_order=True)}),
    ("maml", {"inner": InnerConfig(lr=0.3, adapt="head")}),
    ("maml", {"inner": InnerConfig(lr=0.3, learned_lr="per-parameter")}),
    ("maml-trpo", {"inner": InnerConfig(lr=0.3, adapt="head", learned_lr="per-layer")}),
    ("maml", {"inner": InnerConfig(lr=0.3, adapt="context"), "policy": PolicyConfig(hidden_sizes=(8,), context=2)}),
    ("maml-trpo", {"inner": InnerConfig(lr=0.3, adapt="context"), "policy": PolicyConfig((8,), context=2)}),
    ("maml-trpo", {"inner": InnerConfig(lr=0.3, estimator="dice")}),
    ("maml", {"inner": InnerConfig(lr=0.3, estimator="e-maml", steps=2)}),
    ("reptile", {"inner": InnerConfig(lr=0.01, steps=2, optimiser="adam")}),
    ("promp", {}),
    ("reptile", {}),
    ("reptile", {"outer": "plain"}),
    ("pretrain", {}),
    ("pretrain", {"outer": "trpo"}),
]


def tiny(algorithm, **changes):
    config = CONFIGS[algorithm](
        variant="finn17", meta_batch_size=3, episodes=3, iterations=4, checkpoint_every=2, validation_tasks=1,
        policy=PolicyConfig(hidden_sizes=(8,)),
    )  # fmt: skip
    return replace(config, **changes)


@pytest.mark.parametrize(("algorithm", "changes"), VARIANTS, ids=lambda v: str(v))
def test_resuming_is_exact_for_every_algorithm(tmp_path, algorithm, changes):
    config = tiny(algorithm, **changes)
    train(algorithm, config, tmp_path / "whole")
    train(algorithm, config, tmp_path / "parts", report=_stop_after(tmp_path / "parts", 2))
    resume(tmp_path / "parts")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def _stop_after(run, iteration):
    """A report that asks for a stop, as Ctrl-C does, so that the schedule stays that of the whole run."""
    import os
    import signal

    return lambda record: os.kill(os.getpid(), signal.SIGINT) if record["iteration"] == iteration else None


def test_a_schedule_is_not_outrun_by_mistake(tmp_path):
    train("reptile", tiny("reptile", iterations=2), tmp_path / "run")
    with pytest.raises(ConfigError, match="--extend-schedule"):
        resume(tmp_path / "run", iterations=3)
    assert resume(tmp_path / "run", iterations=3, extend_schedule=True).iteration == 3


@pytest.mark.parametrize(
    ("algorithm", "changes"),
    [
        ("maml", {}),
        ("maml", {"inner": InnerConfig(lr=0.5, first_order=True)}),
        ("maml", {"inner": InnerConfig(lr=0.5, adapt="head")}),
        ("promp", {"adam": AdamConfig(lr=3e-3)}),
        ("reptile", {"inner": InnerConfig(lr=0.5, steps=3)}),
        ("pretrain", {}),
    ],
    ids=lambda v: str(v),
)
def test_every_algorithm_learns_to_adapt(tmp_path, algorithm, changes):
    """A minute of navigation: one step after training is worth far more than before it."""
    import metarl

    config = tiny(algorithm, **({"inner": InnerConfig(lr=0.5)} | changes))
    config = replace(
        config, iterations=25, meta_batch_size=10, episodes=10, checkpoint_every=25, validation_tasks=0,
        policy=PolicyConfig(hidden_sizes=(32, 32), activation="relu"),
    )  # fmt: skip
    train(algorithm, config, tmp_path / "run")
    trained = metarl.evaluate(tmp_path / "run", tasks=10, episodes=10, steps=1)["return"]["mean"]
    untrained = metarl.evaluate(tmp_path / "run", tasks=10, episodes=10, steps=1, initialisation="random")
    assert trained[1] > trained[0] + 5
    assert trained[1] > untrained["return"]["mean"][1] + 5
    assert all(record["return"][0] is not None for record in read_metrics(tmp_path / "run"))
