import pytest
import torch

import metarl
import metarl.core.errors
from metarl.config.algorithms import MamlConfig
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.sb3 import export_model
from metarl.sb3.names import from_sb3, to_sb3
from metarl.training.start import train
from tests.helpers.runs import policy_run
from tests.helpers.sb3 import distribution_of, observations_of

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")


def test_context_and_learned_rates_and_the_bound_of_the_deviation(tmp_path):
    """What PPO has no parameter for is either part of the function, or no part of acting."""
    policy = PolicyConfig(hidden_sizes=(7,), context=3, initial_log_std=-1.9, min_log_std=-2.0)
    config = MamlConfig(
        family="navigation2d", iterations=1, meta_batch_size=2, episodes=2, validation_tasks=0, policy=policy,
        inner=InnerConfig(adapt="context", learned_lr="per-parameter"),
    )  # fmt: skip
    train("maml", config, tmp_path / "run")
    agent = metarl.load(tmp_path / "run")
    agent.params |= {"context": torch.tensor([0.5, -1.0, 2.0]), "log_std": torch.tensor([-3.0, -1.0])}
    agent.save(tmp_path / "adapted.safetensors")
    model, seen = export_model(tmp_path / "adapted.safetensors"), observations_of(metarl.load_family("navigation2d"))
    theirs = model.policy.get_distribution(torch.as_tensor(seen)).distribution
    ours = distribution_of(agent, seen)
    torch.testing.assert_close(ours.mean[0], theirs.mean, atol=1e-6, rtol=0)
    assert float(theirs.stddev.log().min().detach()) == pytest.approx(-2.0, abs=1e-6)


def test_normalised_observations_are_part_of_the_first_layer(tmp_path):
    source = policy_run(tmp_path / "run", family="cartpole", normalised=True)
    agent, model = metarl.load(source), export_model(source)
    assert (agent.params["observation_statistics.variance"] != 1).all()
    seen = observations_of(metarl.load_family("cartpole"))
    theirs = model.policy.get_distribution(torch.as_tensor(seen)).distribution.probs
    ours = torch.softmax(distribution_of(agent, seen).logits[0], -1)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    actions, _ = model.predict(seen, deterministic=True)
    assert actions.tolist() == [agent.act(row) for row in seen]


def test_names_are_a_bijection(run):
    theta = metarl.load(run).params
    back = from_sb3(to_sb3(theta), "there")
    assert back.keys() == theta.keys()
    assert all(torch.equal(back[name], value) for name, value in theta.items())
