import pytest
import torch

from metarl.algorithms import maml_trpo
from metarl.config.algorithms import MamlTrpoConfig, TrustRegionConfig
from metarl.config.run import InnerConfig
from tests.helpers.steps import rl_step


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_step_lowers_the_loss_within_the_region(family, policy, theta, steps):
    region = TrustRegionConfig(max_kl=0.02)
    config = MamlTrpoConfig(dtype="float64", inner=InnerConfig(lr=0.1, steps=steps), trust_region=region)
    state, metrics = rl_step(maml_trpo, family, policy, theta, config)
    assert metrics["line_search"]["accepted"]
    assert metrics["outer_loss_after"] < metrics["outer_loss"]
    assert 0 < metrics["kl"] <= 0.02
    assert len(metrics["return"]) == steps + 1
    assert list(state) == ["theta"]
    assert any(not torch.equal(state["theta"][name], value) for name, value in theta.items())
    assert metrics["seconds"].keys() == {"collect", "gradient", "curvature", "line_search"} | (
        {"adapt"} if steps else set()
    )


def test_a_region_without_extent_leaves_theta_where_it_is(family, policy, theta):
    """No candidate lowers the loss by rounding alone within a KL of 1e-300."""
    region = TrustRegionConfig(max_kl=1e-300, max_backtracks=1)
    config = MamlTrpoConfig(dtype="float64", inner=InnerConfig(lr=0.1), trust_region=region)
    state, metrics = rl_step(maml_trpo, family, policy, theta, config)
    assert (metrics["line_search"]["accepted"], metrics["line_search"]["backtracks"]) == (False, -1)
    assert metrics["kl"] == 0
    assert all(torch.equal(state["theta"][name], value) for name, value in theta.items())


def test_what_the_adapter_keeps_goes_on(family, policy, theta):
    """An outer update adds the adapter's entries to its own theta, and its search does not move them."""
    from metarl.adaptation.gradient import AdamDescent

    adapter = AdamDescent(0.01, first_order=True)
    config = MamlTrpoConfig(dtype="float64", inner=InnerConfig(lr=0.01, steps=2, optimiser="adam", first_order=True))
    state, _ = rl_step(maml_trpo, family, policy, adapter.add_state(theta), config, adapter=adapter)
    assert float(state["theta"]["inner_memory.steps"]) == 2
    assert float(state["theta"]["inner_memory.second.head.weight"].max()) > 0
