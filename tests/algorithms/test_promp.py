import torch

from metarl.algorithms import maml, promp
from metarl.config.algorithms import AdamConfig, MamlConfig, PrompConfig
from metarl.config.run import InnerConfig
from tests.helpers.steps import rl_step


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
