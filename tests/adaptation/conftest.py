import pytest
import torch


@pytest.fixture
def quadratics():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(4, 3, 3, generator=generator, dtype=torch.float64)
    a = root @ root.mT / 3 + 0.2 * torch.eye(3, dtype=torch.float64)
    b = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    theta = {"x": torch.randn(3, generator=generator, dtype=torch.float64)}
    return a, b, theta
