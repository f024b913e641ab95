import pytest
import torch
from torch import distributions

from metarl.core.prng import Key, noise_seeds, normal, uniform
from metarl.rl.distributions import ABSENT, Categorical, Gaussian, MultiCategorical


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


def several(seed, heads=(3, 2, 4)):
    """Random distributions of several heads, and each head by itself."""
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(2, 6, n, generator=generator, dtype=torch.float64) for n in heads]
    padded = [torch.nn.functional.pad(part, (0, max(heads) - part.shape[-1]), value=ABSENT) for part in parts]
    return MultiCategorical(torch.stack(padded, -2)), [Categorical(part) for part in parts]


def test_several_heads_against_enumeration():
    """All 24 actions: probabilities sum to one, and entropy and KL are their expectations."""
    ours, parts = several(0)
    old, _ = several(1)
    every = torch.cartesian_prod(*(torch.arange(part.logits.shape[-1]) for part in parts))
    actions = every[:, None, None].expand(-1, 2, 6, -1)
    log_p = torch.stack([ours.log_prob(action) for action in actions])
    old_log_p = torch.stack([old.log_prob(action) for action in actions])
    torch.testing.assert_close(log_p.exp().sum(0), torch.ones(2, 6, dtype=torch.float64))
    torch.testing.assert_close(ours.entropy(), -(log_p.exp() * log_p).sum(0))
    torch.testing.assert_close(ours.kl_from(old), (old_log_p.exp() * (old_log_p - log_p)).sum(0))
    torch.testing.assert_close(
        ours.log_prob(actions[7]), sum(p.log_prob(actions[7][..., i]) for i, p in enumerate(parts))
    )
    best = log_p.argmax(0)
    assert torch.equal(ours.mode(), every[best])


def test_fisher_of_several_heads_is_the_hessian_of_the_kl():
    old, _ = several(0)
    tangent = torch.randn(old.logits.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    tangent = tangent.masked_fill(old.logits == ABSENT, 0)

    def kl(logits):
        return MultiCategorical(logits).kl_from(old).sum()

    _, product = torch.autograd.functional.hvp(kl, old.logits, tangent)
    torch.testing.assert_close(old.fisher_product(MultiCategorical(tangent)).logits, product)


def test_samples_of_several_heads_follow_them_and_are_never_absent():
    heads = torch.tensor([[0.2, 0.8, 0.0], [0.5, 0.2, 0.3]])
    logits = torch.where(heads > 0, heads.log(), ABSENT).expand(1, 20000, 2, 3)
    noise = uniform(noise_seeds(Key.from_seed(1).env_seeds(1, 20000), 1, 2)[0])
    drawn = MultiCategorical(logits).sample(noise.float())
    for head in range(2):
        counts = torch.bincount(drawn[0, :, head], minlength=3) / 20000
        torch.testing.assert_close(counts, heads[head], atol=0.02, rtol=0)
    # Heads are independent.
    both = (drawn[0] == 0).all(-1).float().mean()
    assert float(both) == pytest.approx(0.1, abs=0.01)
    nearly_one = torch.full((1, 1, 2), 1.0)
    assert MultiCategorical(logits[:, :1]).sample(nearly_one).flatten().tolist() == [1, 2]
