import pytest
import torch
from gymnasium import spaces
from torch import distributions, nn

from metarl.adaptation.adapter import stack
from metarl.config.algorithms import MamlTrpoConfig
from metarl.config.run import PolicyConfig
from metarl.config.validation import validate
from metarl.core.errors import ConfigError, Divergence, FamilyError
from metarl.core.prng import Key, noise_seeds, normal, uniform
from metarl.rl.distributions import Categorical, Gaussian
from metarl.rl.networks import ModuleNetwork, StackedMLP
from metarl.rl.policies import CategoricalPolicy, GaussianPolicy, make_policy


def perturbed(theta, tasks):
    """Stacked parameters that differ from task to task."""
    generator = torch.Generator().manual_seed(0)
    return {
        k: v + 0.1 * torch.randn(v.shape, generator=generator, dtype=v.dtype) for k, v in stack(theta, tasks).items()
    }


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_stacked_network_is_each_tasks_own_network(activation):
    network = StackedMLP(3, 2, (5, 4), activation)
    params = perturbed(network.initialise(Key.from_seed(1)), 4)
    inputs = torch.randn(4, 6, 7, 3, dtype=torch.float64)
    nonlinearity = {"tanh": nn.Tanh, "relu": nn.ReLU}[activation]
    for task in range(4):
        plain = nn.Sequential(
            nn.Linear(3, 5), nonlinearity(), nn.Linear(5, 4), nonlinearity(), nn.Linear(4, 2)
        ).double()
        names = ["hidden.0", "hidden.1", "head"]
        for layer, name in zip([m for m in plain if isinstance(m, nn.Linear)], names, strict=True):
            layer.weight.data, layer.bias.data = params[f"{name}.weight"][task], params[f"{name}.bias"][task]
        torch.testing.assert_close(network(params, inputs)[task], plain(inputs[task]))


def test_a_users_own_module_gives_the_same():
    stacked = StackedMLP(3, 2, (5,), "tanh")
    module = nn.Sequential()
    module.add_module("hidden", nn.Sequential(nn.Linear(3, 5), nn.Tanh()))
    module.add_module("head", nn.Linear(5, 2))
    network = ModuleNetwork(module)
    theta = network.initialise(Key(0))
    params = perturbed(theta, 3)
    renamed = {k.replace("hidden.0.", "hidden.0."): v for k, v in params.items()}
    inputs = torch.randn(3, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(network(params, inputs), stacked(renamed, inputs))


def test_gaussian_against_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    mean, log_std, other_mean, other_log_std, action = torch.randn(5, 2, 6, 3, generator=generator, dtype=torch.float64)
    ours, old = Gaussian(mean, log_std), Gaussian(other_mean, other_log_std)
    reference = distributions.Independent(distributions.Normal(mean, log_std.exp()), 1)
    reference_old = distributions.Independent(distributions.Normal(other_mean, other_log_std.exp()), 1)
    torch.testing.assert_close(ours.log_prob(action), reference.log_prob(action))
    torch.testing.assert_close(ours.kl_from(old), distributions.kl_divergence(reference_old, reference))


def test_categorical_against_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    logits, other = torch.randn(2, 2, 6, 4, generator=generator, dtype=torch.float64)
    action = torch.randint(0, 4, (2, 6), generator=generator)
    ours, old = Categorical(logits), Categorical(other)
    reference, reference_old = (
        distributions.Categorical(logits=logits),
        distributions.Categorical(logits=other),
    )
    torch.testing.assert_close(ours.log_prob(action), reference.log_prob(action))
    torch.testing.assert_close(ours.kl_from(old), distributions.kl_divergence(reference_old, reference))


@pytest.mark.parametrize("kind", [Gaussian, Categorical])
def test_fisher_is_the_hessian_of_the_kl(kind):
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(1, 1, 3, generator=generator, dtype=torch.float64) for _ in kind._fields]
    tangent = kind(*(torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in parts))
    old = kind(*parts)

    def kl(*new):
        return kind(*new).kl_from(old).sum()

    _, product = torch.autograd.functional.hvp(kl, tuple(parts), tuple(tangent))
    for ours, expected in zip(old.fisher_product(tangent), product, strict=True):
        torch.testing.assert_close(ours, expected)


def test_samples_follow_the_distribution():
    seeds = noise_seeds(Key.from_seed(1).env_seeds(1, 20000), 1, 2)[0]
    gaussian = Gaussian(torch.full((1, 20000, 2), 3.0), torch.full((1, 20000, 2), 0.5))
    drawn = gaussian.sample(normal(seeds))
    assert float(drawn.mean()) == pytest.approx(3, abs=0.05)
    assert float(drawn.std()) == pytest.approx(1.6487, rel=0.02)
    p = torch.tensor([0.1, 0.6, 0.3])
    categorical = Categorical(p.log().expand(1, 20000, 3))
    counts = torch.bincount(categorical.sample(uniform(seeds[..., :1])).flatten(), minlength=3) / 20000
    torch.testing.assert_close(counts, p, atol=0.02, rtol=0)


def test_log_std_has_bounds():
    """A floor that holds, and a ceiling above which nobody goes on as if nothing had happened."""
    policy = GaussianPolicy(StackedMLP(2, 1, (), "tanh"), 1, initial_log_std=-50.0, min_log_std=-3.0, max_log_std=1.0)
    params = stack(policy.initialise(Key(0)), 3)
    distribution, _ = policy.act(params, torch.zeros(3, 4, 2, dtype=torch.float64))
    assert distribution.log_std.unique().tolist() == [-3.0]
    policy.check(params | {"log_std": torch.full((3, 1), 1.0)})
    with pytest.raises(Divergence, match=r"log_std is 1.5 at task 2, above its bound of 1") as caught:
        policy.check(params | {"log_std": torch.tensor([[0.0], [-9.0], [1.5]])})
    assert caught.value.task == 2
    with pytest.raises(ConfigError, match=r"--policy.initial-log-std = 5; expected a number from -13.8 to 4"):
        validate(MamlTrpoConfig(policy=PolicyConfig(initial_log_std=5)))


def test_policy_that_fits_the_spaces():
    box = spaces.Box(-1, 1, (3,))
    assert isinstance(make_policy(box, spaces.Discrete(4)), CategoricalPolicy)
    assert isinstance(make_policy(box, spaces.Box(-1, 1, (2,))), GaussianPolicy)
    with pytest.raises(FamilyError, match="MultiBinary"):
        make_policy(box, spaces.MultiBinary(3))
    with pytest.raises(FamilyError, match="FlattenObservation"):
        make_policy(spaces.Box(0, 1, (3, 3)), spaces.Discrete(2))
