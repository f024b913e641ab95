"""Worker processes: the same results for any number of them, and faults that say where they happened."""

import warnings

import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl.adaptation.adapter import stack
from metarl.api import evaluate
from metarl.config.algorithms import MamlTrpoConfig
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.core.errors import EnvironmentFault, WorkerFault
from metarl.core.prng import Key
from metarl.families.declared import declare_family
from metarl.families.observe_task import ObserveTask
from metarl.families.vec_env import GymVecEnv, make_vec_env
from metarl.families.workers import SubprocVectorEnv
from metarl.rl.policies import make_policy
from metarl.rl.rollouts import rollout
from metarl.runs.directory import read_metrics
from metarl.training.start import train
from tests.helpers.families import REACHING, SELDOM, TROUBLED
from tests.helpers.numerics import tensors
from tests.helpers.successes import BY_HAND, episodes_of


@pytest.mark.parametrize("family", [REACHING, SELDOM], ids=["always", "seldom"])
def test_workers_say_the_same(family):
    alone = episodes_of(family, BY_HAND)
    for workers in (1, 3):
        shared = episodes_of(family, BY_HAND, workers)
        assert all(torch.equal(a, b) for a, b in zip(tensors(alone), tensors(shared), strict=True))


PENDULUMS = declare_family("Pendulum-v1", spaces.Dict({"g": spaces.Box(5.0, 15.0, ())}), horizon=12)


def walk(family, workers, tasks, **options):
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(4,))
    theta = {k: v.float() for k, v in policy.initialise(Key.from_seed(1)).items()}
    n = len(next(iter(tasks.values())))
    envs = make_vec_env(family, tasks, 2, device="cpu", dtype=torch.float32, workers=workers, **options)
    assert isinstance(envs, GymVecEnv)
    try:
        first = rollout(envs, policy, stack(theta, n), Key(5), horizon=family.horizon)
        envs.set_tasks({name: values[::-1] for name, values in tasks.items()})
        return first, rollout(envs, policy, stack(theta, n), Key(6), horizon=family.horizon)
    finally:
        envs.close()


@pytest.mark.parametrize("family", [PENDULUMS, ObserveTask(PENDULUMS)], ids=["plain", "oracle"])
def test_any_number_of_workers_gives_the_same(family):
    tasks = family.sample_tasks(3, "meta-train", np.random.default_rng(0))
    alone = walk(family, 0, tasks)
    for workers in (1, 4):
        for ours, theirs in zip(alone, walk(family, workers, tasks), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(tensors(ours), tensors(theirs), strict=True))


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (1, "task 1, episode 0: step raised ValueError: the motor is on fire (step 3)"),
        (2, "task 1, episode 0: worker 1 died (exit code 7) at step 3"),
        (3, "task 1, episode 0: worker 1 did not answer within 0.5 s at step 3"),
    ],
)
def test_a_worker_that_fails_says_where(trouble, message):
    with pytest.raises(WorkerFault) as caught:
        walk(TROUBLED, 2, {"trouble": np.array([0, trouble])}, timeout=0.5)
    assert str(caught.value) == f"family 'Troubled', {message}"


def test_ended_lanes_are_reset_in_their_workers():
    tasks = {"trouble": np.array([4, 0, 4])}
    alone, shared = walk(TROUBLED, 0, tasks), walk(TROUBLED, 4, tasks)
    assert alone[0].mask.sum(2).tolist() == [[3, 3], [6, 6], [3, 3]]
    for ours, theirs in zip(alone, shared, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(tensors(ours), tensors(theirs), strict=True))


def config(**options):
    return MamlTrpoConfig(
        family="tests.helpers.families:TROUBLED", iterations=2, meta_batch_size=2, episodes=2, validation_tasks=0,
        checkpoint_every=1, inner=InnerConfig(lr=0.1), policy=PolicyConfig(hidden_sizes=(4,)), **options,
    )  # fmt: skip


def test_episodes_are_collected_again_with_new_workers(tmp_path, monkeypatch):
    """What a run learns is the same as if its worker had never died."""
    monkeypatch.setattr(TROUBLED.splits, "sample", lambda n, split, rng: {"trouble": np.array([0, 2])})
    mark = tmp_path / "troubled"
    monkeypatch.setenv("TROUBLED_ONCE", str(mark))
    with pytest.warns(UserWarning, match=r".*worker 1 died .* at step 3; tried again with new workers"):
        train("maml-trpo", config(workers=2), tmp_path / "died")
    assert mark.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train("maml-trpo", config(workers=0), tmp_path / "alone")
    returns = [[record["return"] for record in read_metrics(tmp_path / run)] for run in ("died", "alone")]
    assert returns[0] == returns[1]
    assert len(returns[0]) == 2
    budget = {"tasks": 2, "episodes": 2, "steps": 1}
    undisturbed = evaluate(tmp_path / "died", **budget)
    mark.unlink()
    with pytest.warns(UserWarning, match="tried again with new workers"):
        assert evaluate(tmp_path / "died", **budget) == undisturbed
    assert mark.exists()


def test_repetition_ends_and_leaves_the_checkpoint(tmp_path, monkeypatch):
    calls = []

    def sample(n, split, rng):
        calls.append(split)
        return {"trouble": np.array([0, 1 if len(calls) > 2 else 0])}

    monkeypatch.setattr(TROUBLED.splits, "sample", sample)
    TROUBLED.__dict__.pop("_prototype", None)
    built = []
    original = SubprocVectorEnv.__init__

    def counted(self, *arguments, **options):
        built.append(1)
        original(self, *arguments, **options)

    monkeypatch.setattr(SubprocVectorEnv, "__init__", counted)
    monkeypatch.delenv("TROUBLED_ONCE", raising=False)
    assert TROUBLED.observation_space.shape == (1,)  # draws a first task, once
    calls[:] = ["prototype"]
    with (
        pytest.warns(UserWarning, match="tried again"),
        pytest.raises(EnvironmentFault, match="iteration 2: family 'Troubled', task 1, episode 0: step raised"),
    ):
        train("maml-trpo", config(workers=1, worker_retries=1), tmp_path / "run")
    assert len(built) == 2  # one for the first iteration and the first attempt at the second, one for the retry
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == ["00000001"]
