import pytest
import torch
from gymnasium import spaces

from metarl.adaptation.adapter import stack
from metarl.config.algorithms import MamlTrpoConfig
from metarl.config.run import PolicyConfig
from metarl.config.validation import validate
from metarl.core.errors import ConfigError, Divergence, FamilyError
from metarl.core.prng import Key
from metarl.rl.networks import StackedMLP
from metarl.rl.policies import CategoricalPolicy, FactoredPolicy, GaussianPolicy, make_policy


def test_initialisation_is_reproducible(policy):
    a, b, c = (policy.initialise(Key.from_seed(s)) for s in (1, 1, 2))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["head.weight"], c["head.weight"])


def test_log_std_has_bounds():
    """A floor that holds, and a ceiling above which nobody goes on as if nothing had happened."""
    policy = GaussianPolicy(StackedMLP(2, 1, (), "tanh"), 1, initial_log_std=-50.0, min_log_std=-3.0, max_log_std=1.0)
    params = stack(policy.initialise(Key(0)), 3)
    distribution, _ = policy.act(params, torch.zeros(3, 4, 2, dtype=torch.float64))
    assert distribution.log_std.unique().tolist() == [-3.0]
    policy.check(params | {"log_std": torch.full((3, 1), 1.0)})
    with pytest.raises(Divergence, match=r"log_std is 1.5 at task 2, above its bound of 1") as caught:
        policy.check(params | {"log_std": torch.tensor([[0.0], [-9.0], [1.5]])})
    assert caught.value.task == 2
    with pytest.raises(ConfigError, match=r"--policy.initial-log-std = 5; expected a number from -13.8 to 4"):
        validate(MamlTrpoConfig(policy=PolicyConfig(initial_log_std=5)))


def test_policy_that_fits_the_spaces():
    box = spaces.Box(-1, 1, (3,))
    assert isinstance(make_policy(box, spaces.Discrete(4)), CategoricalPolicy)
    assert isinstance(make_policy(box, spaces.Box(-1, 1, (2,))), GaussianPolicy)
    assert isinstance(make_policy(box, spaces.MultiBinary(3)), FactoredPolicy)
    with pytest.raises(FamilyError, match="FlattenObservation"):
        make_policy(spaces.Box(0, 1, (3, 3)), spaces.Discrete(2))


def test_several_choices_share_the_networks_outputs():
    """Each head's probabilities are the softmax of its own outputs, in the order of the action space."""
    policy = make_policy(spaces.Box(-1, 1, (2,)), spaces.MultiDiscrete([3, 2]), hidden_sizes=(4,))
    theta = policy.initialise(Key.from_seed(1))
    rows = torch.randn(2, 5, 2, dtype=torch.float64)
    params = {name: value.expand(2, *value.shape) for name, value in theta.items()}
    outputs = policy.network(params, rows)
    distribution, _ = policy.act(params, rows)
    p = torch.softmax(distribution.logits, -1)
    torch.testing.assert_close(p[..., 0, :], torch.softmax(outputs[..., :3], -1))
    torch.testing.assert_close(p[..., 1, :2], torch.softmax(outputs[..., 3:], -1))
    assert float(p[..., 1, 2].max()) == 0


def test_actions_without_a_distribution_are_refused():
    mixed = spaces.Tuple([spaces.Discrete(2), spaces.Box(-1, 1, (2,))])
    with pytest.raises(FamilyError, match="is not supported: expected Discrete, MultiDiscrete, MultiBinary, a Tuple"):
        make_policy(spaces.Box(-1, 1, (2,)), mixed)
