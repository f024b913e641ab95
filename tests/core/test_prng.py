import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metarl.core.prng import Key, fold, noise_seeds, normal, uniform


def test_fold_is_splitmix64():
    """The reference implementation's first outputs for seed 0."""
    outputs = fold(torch.zeros(3, dtype=torch.int64), torch.arange(3)).numpy().view(np.uint64)
    assert [hex(x) for x in outputs] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f"]


@given(st.integers(0, 2**63 - 1), st.integers(0, 1000))
def test_host_and_tensor_agree(seed, position):
    key = Key.from_seed(seed)

    def signed(value):
        return value - (1 << 64) if value >= 1 << 63 else value

    expected = signed(key.at(position).value)
    assert fold(torch.tensor([signed(key.value)]), position).item() == expected
    assert fold(torch.tensor([signed(key.value)]), torch.tensor([position])).item() == expected


def test_uniform_and_normal_distributions():
    seeds = noise_seeds(Key.from_seed(1).at("test").env_seeds(20, 20), 50, 3)
    u = uniform(seeds)
    assert 0 < u.min() < u.max() < 1
    assert stats.kstest(u.flatten().numpy(), "uniform").pvalue > 1e-3
    assert stats.kstest(normal(seeds).flatten().numpy(), "norm").pvalue > 1e-3


def test_neighbouring_positions_are_independent():
    u = uniform(noise_seeds(Key.from_seed(2).env_seeds(30, 30), 40, 2)) - 0.5
    n = u.numel()
    pairs = {
        "step": (u[1:], u[:-1]),
        "task": (u[:, 1:], u[:, :-1]),
        "episode": (u[:, :, 1:], u[:, :, :-1]),
        "component": (u[..., 1:], u[..., :-1]),
    }
    for name, (a, b) in pairs.items():
        correlation = float((a * b).mean() * 12)
        assert abs(correlation) < 4.5 / np.sqrt(n / 2), name
    # Pairs of components fill the unit square evenly, not only its margins.
    cells = (u[..., 0] + 0.5).mul(8).int() * 8 + (u[..., 1] + 0.5).mul(8).int()
    counts = np.bincount(cells.flatten().numpy(), minlength=64)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_neighbouring_seeds_and_streams_are_independent():
    def draws(key):
        return uniform(noise_seeds(key.env_seeds(10, 10), 50, 2)).flatten() - 0.5

    first = draws(Key.from_seed(1).at("policy", 1))
    for other in (
        Key.from_seed(2).at("policy", 1),
        Key.from_seed(1).at("policy", 2),
        Key.from_seed(1).at("task", 1),
    ):
        assert abs(float((first * draws(other)).mean() * 12)) < 0.05


def test_one_lane_alone_draws_the_same():
    key = Key.from_seed(5).at("rollout", 7)
    everything = normal(noise_seeds(key.env_seeds(4, 6), 10, 2))
    alone = normal(noise_seeds(key.env_seeds(4, 6)[2:3, 3:4], 10, 2))
    later = normal(noise_seeds(key.env_seeds(4, 2, first_episode=3), 10, 2))
    assert torch.equal(everything[:, 2:3, 3:4], alone)
    assert torch.equal(everything[:, :, 3:5], later)


def test_a_task_draws_the_same_numbers_wherever_it_is():
    key = Key.from_seed(3).at("environment")
    assert torch.equal(key.env_seeds(5, 2)[3:], key.from_task(3).env_seeds(2, 2))
    assert torch.equal(key.at(1).env_seeds(5, 2)[3:], key.from_task(3).at(1).env_seeds(2, 2))
