"""Policies as modules with named tensors."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl.core.errors import FamilyError
from metarl.deployment.modules import PolicyModule, policy_module
from metarl.rl.memory import MemoryPolicy
from tests.helpers.agents import BOX, CHOICES, agent, memory_agent


def module_of(given):
    return policy_module(given.policy, given.params, given.action_space)


@pytest.mark.parametrize("action", [BOX, CHOICES])
def test_actions_are_those_of_the_agent(action):
    given = agent(action, normalise_observations=True)
    seen = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32) * 3
    with torch.no_grad():
        found = module_of(given)(torch.as_tensor(seen))
    acted = np.array([given.act(row) for row in seen])
    assert np.allclose(found["action"], acted, atol=1e-6)
    assert list(found) == (["mean", "log_std", "action"] if action is BOX else ["logits", "action"])
    if action is BOX:
        assert (acted[:, 0] == 0.25).any()  # some were clipped
        assert (found["mean"][:, 0] > 0.25).any()
    else:
        assert set(acted) <= {2, 3, 4}


def test_parameters_without_a_part_in_acting_are_left_out():
    """Learned rates and the value function."""
    from metarl.config.run import InnerConfig

    rates = module_of(agent(inner=InnerConfig(lr=0.1, learned_lr="per-parameter")))
    memory = module_of(memory_agent())
    assert not [name for name in rates.state_dict() if "inner_lr" in name]
    assert not [name for name in memory.state_dict() if "value" in name]
    assert "theta_head_weight" in rates.state_dict()


@pytest.mark.parametrize("action", [BOX, CHOICES])
def test_a_trial_begins_with_the_empty_memory_and_no_action(action):
    given = memory_agent(action)
    module = module_of(given)
    start = module.initial((5,))
    inputs = {name: torch.tensor([value]) for name, value in start.items()}
    seen = torch.randn(1, 5)
    with torch.no_grad():
        found = module(seen, **inputs)
        expected, memory = given.policy.act({n: v[None] for n, v in given.params.items()}, seen[None])
    assert torch.equal(found["memory_out"], memory["state"][0])
    assert torch.equal(next(iter(found.values())), next(iter(expected))[0])
    assert start["previous_action"] == (1 if action is CHOICES else [0.0, 0.0])


def test_other_action_spaces_are_refused():
    given = agent()
    with pytest.raises(FamilyError, match="cannot be exported: expected"):
        PolicyModule(given.policy, given.params, spaces.Dict({"push": spaces.Discrete(2)}))


def test_examples_have_the_named_inputs():
    for action, kind in ((BOX, torch.float32), (CHOICES, torch.int64)):
        given = memory_agent(action, memory="lstm")
        assert isinstance(given.policy, MemoryPolicy)
        example = module_of(given).example((5,), 4, torch.Generator().manual_seed(0))
        assert {name: tuple(value.shape) for name, value in example.items()} == {
            "observation": (4, 5), "previous_action": (4, 2) if action is BOX else (4,), "previous_reward": (4,),
            "previous_end": (4,), "memory_in": (4, 14),
        }  # fmt: skip
        assert example["previous_action"].dtype == kind
