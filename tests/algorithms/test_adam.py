import torch

from metarl.algorithms.adam import AdamState, adam_step, scheduled
from metarl.config.algorithms import AdamConfig


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


def test_the_factor_is_that_of_the_iteration():
    assert [scheduled(AdamConfig(), p, 4) for p in (0.0, 0.25, 0.5)] == [1.0, 0.75, 0.5]
    assert scheduled(AdamConfig(schedule="constant"), 0.5, 4) == 1.0
