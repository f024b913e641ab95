import numpy as np
import pytest
import torch

import metarl
import metarl.core.errors
from metarl.core.prng import Key
from metarl.sb3 import export_model
from metarl.sb3.acting import private_randomness

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")


def test_the_callers_random_numbers_are_left_alone(run):
    torch.manual_seed(1)
    np.random.seed(1)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(1)
    np.random.seed(1)
    model = export_model(run)
    metarl.evaluate(model, family="navigation2d", tasks=2, episodes=2)
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])
    with private_randomness(Key(4)) as generators:
        drawn = torch.rand(2)
    assert torch.equal(drawn, torch.rand(2, generator=torch.Generator().manual_seed(generators.seed)))
