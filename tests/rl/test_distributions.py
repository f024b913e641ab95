import pytest
import torch
from torch import distributions

from metarl.core.prng import Key, noise_seeds, normal, uniform
from metarl.rl.distributions import Categorical, Gaussian


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
