"""Whole runs on images and dictionaries."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import metarl
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.core.errors import ConfigError, FamilyError
from metarl.core.prng import Key
from metarl.families.tasks import task_at
from metarl.rl.setup import FamilySetup
from metarl.runs.directory import read_config
from metarl.runs.manifest import list_checkpoints, read_manifest
from tests.helpers.images import LAMPS, NATIVE, PLACES, Lamps
from tests.helpers.runs import assert_same_run
from tests.helpers.steps import tiny as tiny_navigation

IMAGES = "tests.helpers.images:LAMPS"
SMALL = PolicyConfig(hidden_sizes=(8,))


def tiny(algorithm, **changes):
    return tiny_navigation(algorithm, **({"variant": None} | changes))


def collected(config):
    setup = FamilySetup(config)
    theta = {name: value.float() for name, value in setup.model.initialise(Key.from_seed(1)).items()}
    params = {name: value.expand(2, *value.shape) for name, value in theta.items()}
    problem = setup.problem(training=True)
    tasks = setup.sample_tasks(2, "meta-train", np.random.default_rng(0))
    return problem, params, problem.collect(params, tasks, Key.from_seed(1)).data


@pytest.mark.parametrize("family", ["LAMPS", "NATIVE"])
def test_trajectories_keep_images_as_bytes(family):
    problem, params, data = collected(tiny("maml", family=f"tests.helpers.images:{family}", policy=SMALL))
    assert data.observations.dtype == torch.uint8
    assert data.observations.shape == (2, 3, 4, 6 * 8 * 3)
    assert data.advantages.dtype == torch.float32
    assert set(data.observations.unique().tolist()) == {0, 255}
    # What was computed while acting is what is computed from the stored bytes.
    log_probs = problem.distribution(params, data).log_prob(data.actions)
    torch.testing.assert_close(log_probs, data.log_probs)


def test_a_perceptron_sees_flat_floats_as_it_always_did():
    policy = PolicyConfig(hidden_sizes=(8,), network="mlp")
    setup = FamilySetup(tiny("maml", family=IMAGES, policy=policy))
    assert setup.facts()["spaces"] == {"observation_size": 144, "action": {"discrete": 2, "start": 0}}
    _, _, data = collected(tiny("maml", family=IMAGES, policy=policy))
    assert data.observations.dtype == torch.float32
    assert float(data.observations.max()) == 255


@pytest.mark.parametrize("algorithm", ["maml-trpo", pytest.param("promp", marks=pytest.mark.slow)])
def test_a_run_on_images_is_resumed_evaluated_and_loaded(tmp_path, algorithm):
    config = tiny(algorithm, family=IMAGES, policy=SMALL, iterations=2, checkpoint_every=1)
    run = metarl.train(algorithm, config=config, run_dir=tmp_path / "whole")
    metarl.train(algorithm, config=replace(config, iterations=1), run_dir=tmp_path / "parts")
    metarl.resume(tmp_path / "parts", iterations=2)
    if algorithm == "maml-trpo":  # others have a schedule
        assert_same_run(run, tmp_path / "parts")
    manifest = read_manifest(list_checkpoints(run)[2])
    assert manifest["spaces"]["observation"] == {"shape": [6, 8, 3], "bytes": True}
    assert np.isfinite(metarl.evaluate(run, tasks=2, episodes=2)["return"]["mean"]).all()

    agent = metarl.load(run)
    image, _ = Lamps().reset(seed=1)
    assert agent.act(image) == agent.act(image.flatten())
    # The environment as it is, and as the family makes it, give the same.
    one, two = (agent.adapt(env, episodes=2, horizon=4) for env in (Lamps(0.5), LAMPS.make({"towards": np.array(0.5)})))
    assert all(torch.equal(one.params[name], two.params[name]) for name in one.params)
    assert one.act(image) in (0, 1)
    agent.export(tmp_path / "policy.pt2")
    exported = torch.export.load(tmp_path / "policy.pt2").module()
    found = exported(observation=torch.as_tensor(image)[None])
    assert int(found["action"]) == agent.act(image)


def test_recorded_steps_of_images_are_learned_from(tmp_path):
    agent = metarl.load(metarl.train("maml", config=tiny("maml", family=IMAGES, policy=SMALL, iterations=1),
                                     run_dir=tmp_path / "run"))  # fmt: skip
    env = Lamps(0.5)
    image, _ = env.reset(seed=0)
    images, actions, rewards = [], [], []
    for step in range(4):
        images.append(image)
        actions.append(agent.act(image, deterministic=False))
        image, reward, *_ = env.step(actions[-1])
        rewards.append(reward)
        agent.record(reward, truncated=step == 3)
    live = agent.update()
    agent = metarl.load(tmp_path / "run")
    agent.record_episode(np.stack(images), actions, rewards)
    logged = agent.update()
    for name, value in live.params.items():
        torch.testing.assert_close(value, logged.params[name])


def test_adaptation_turns_towards_the_lamp(tmp_path):
    """After a few iterations a step of adaptation on images tells the two kinds of tasks apart."""
    config = tiny("maml-trpo", family=IMAGES, iterations=8, meta_batch_size=8, episodes=10, policy=SMALL,
                  inner=InnerConfig(lr=2.0))  # fmt: skip
    run = metarl.train("maml-trpo", config=config, run_dir=tmp_path / "run")
    curve = metarl.evaluate(run, tasks=10, episodes=10, steps=2)["return"]["mean"]
    assert curve[-1] > curve[0] + 0.5


def test_dictionaries_reach_the_network_by_their_parts(tmp_path):
    config = tiny("maml", family="tests.helpers.images:PLACES", policy=SMALL, iterations=1)
    run = metarl.train("maml", config=config, run_dir=tmp_path / "run")
    agent = metarl.load(run)
    observation, _ = PLACES._env(0.5).reset(seed=1)
    flat, _ = PLACES.make({"towards": np.array(0.5)}).reset(seed=1)
    assert agent.act(observation) == agent.act(flat)
    own = replace(config, policy=PolicyConfig(network="tests.training.test_images:reads_parts"))
    problem, params, data = collected(own)
    log_probs = problem.distribution(params, data).log_prob(data.actions)
    torch.testing.assert_close(log_probs, data.log_probs)


class _Parts(torch.nn.Module):
    def __init__(self, space, outputs):
        super().__init__()
        self.image = torch.nn.Linear(144, outputs)
        self.place = torch.nn.Linear(space["place"].n, outputs)

    def forward(self, observation):
        return self.image(observation["image"].flatten(1)) + self.place(observation["place"])


def reads_parts(space, outputs):
    return _Parts(space, outputs)


def test_pixels_are_not_normalised_again(tmp_path):
    policy = PolicyConfig(normalise_observations=True)
    with pytest.raises(ConfigError, match="normalise_observations = True; expected false: cnn reads bytes scaled"):
        metarl.train("maml", config=tiny("maml", family=IMAGES, policy=policy), run_dir=tmp_path / "run")


def test_memory_and_the_oracle_read_flat_images(tmp_path):
    run = metarl.train("rl2", config=tiny("rl2", family=IMAGES, iterations=1), run_dir=tmp_path / "rl2")
    assert "observation" not in read_manifest(list_checkpoints(run)[1])["spaces"]
    assert read_config(run)[0] == "rl2"
    oracle = FamilySetup(tiny("maml", family=IMAGES, observe_task=True))
    assert oracle.facts()["spaces"]["observation_size"] == 145
    with pytest.raises(FamilyError, match="observe-task = True; the family's observations are Box"):
        FamilySetup(tiny("maml", family="tests.helpers.images:NATIVE", observe_task=True))


def test_native_images_pass_the_checks():
    from metarl.families.checks.check import check_family

    for family in (LAMPS, NATIVE):
        assert [finding for finding in check_family(family) if finding.verdict == "fail"] == []
    assert task_at(NATIVE.sample_tasks(1, "meta-train", np.random.default_rng(0)), 0)
