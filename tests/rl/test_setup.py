from metarl.config.algorithms import MamlTrpoConfig
from metarl.config.run import PolicyConfig
from metarl.rl.setup import build_policy


def test_the_builder_is_the_policys_own(family):
    policy = build_policy(
        MamlTrpoConfig(policy=PolicyConfig(hidden_sizes=(8, 8))),
        family.observation_space,
        family.action_space,
    )
    assert [size for _, _, size in policy.network.layers] == [8, 8, 2]
