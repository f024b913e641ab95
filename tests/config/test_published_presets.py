"""Presets that claim a published protocol, against what the authors released (cbfinn/maml_rl)."""

import pytest

from metarl.config.toml import load_preset


@pytest.mark.parametrize(
    ("name", "iterations", "tasks", "episodes", "max_kl", "million_steps"),
    [
        # maml_examples/test_maml_cheetah_direc.py, "original ICML file": fbs20_mbs40_flr_0.1_mlr0.02/itr_100.
        ("finn17-cheetah-dir", 100, 40, 20, 0.02, 32),
        # maml_examples/test_maml_cheetah.py: fbs10_mbs40_flr_0.1_mlr0.01/itr_475.
        ("finn17-cheetah-vel", 475, 40, 10, 0.01, 76),
    ],
)
def test_half_cheetah(name, iterations, tasks, episodes, max_kl, million_steps):
    config, _ = load_preset("maml-trpo", name)
    assert (config.iterations, config.meta_batch_size, config.episodes) == (iterations, tasks, episodes)
    assert config.samples_per_step is None
    assert config.trust_region.max_kl == max_kl
    # Support and query, 200 steps an episode.
    assert iterations * tasks * episodes * 200 * 2 == million_steps * 1_000_000
    # step_sizes = [0.1, ...] and half of it later; cluster_maml_trpo_cheetah.py: (100, 100) and tf.nn.relu.
    assert (config.inner.lr, config.inner.later_lr, config.inner.steps) == (0.1, 0.05, 1)
    assert (config.policy.hidden_sizes, config.policy.activation) == ((100, 100), "relu")
    assert (config.gamma, config.gae_lambda) == (0.99, 1.0)


def test_navigation():
    """maml_examples/test_maml_point.py: fbs20_mbs20_flr_0.5metalr_0.01; appendix A.2: "a meta batch size of 20"."""
    config, _ = load_preset("maml-trpo", "finn17-navigation2d")
    # 20 episodes of at most 100 steps.
    assert (config.meta_batch_size, config.samples_per_step, config.iterations) == (20, 2000, 100)
    assert (config.inner.lr, config.inner.later_lr, config.trust_region.max_kl) == (0.5, 0.25, 0.01)
