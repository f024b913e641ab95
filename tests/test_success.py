"""Success rates: counted if reached at any step of the episode, and reported beside returns."""

import json

import numpy as np
import pytest
import torch
from conftest import tensors
from gymnasium import spaces
from reaching import HORIZON, REACHING, SELDOM, by_hand

import metarl
from metarl.adaptation.adapter import stack
from metarl.config.algorithms import MamlTrpoConfig, ReptileConfig
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.core.prng import Key
from metarl.evaluation.comparison import compare
from metarl.evaluation.plots import plot_curves
from metarl.evaluation.tables import print_comparison, print_evaluation
from metarl.families.analytic import AnalyticFamily
from metarl.families.observe_task import ObserveTask
from metarl.families.splits import UniformSplits
from metarl.families.vec_env import GymVecEnv, make_vec_env
from metarl.families.vector import successes_in
from metarl.rl.data import success_rates
from metarl.rl.policies import make_policy
from metarl.rl.problem import ReinforcementLearning
from metarl.rl.rollouts import collect, rollout
from metarl.runs.directory import read_metrics
from metarl.runs.manifest import read_manifest
from metarl.training.progress import TrainingDisplay
from metarl.training.start import train

# Up in the middle only; up after the end of the episode only; up in its last step; never up.
BY_HAND = {"at": np.array([2, 5, 2, 8]), "ends": np.array([8, 2, 2, 8])}
RATES = [1, 0, 1, 0]


def setup(family, tasks, workers=0, episodes=2):
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(4,))
    theta = {k: v.float() for k, v in policy.initialise(Key.from_seed(1)).items()}
    n = len(next(iter(tasks.values())))
    envs = make_vec_env(family, tasks, episodes, device="cpu", dtype=torch.float32, workers=workers)
    return policy, stack(theta, n), envs


def episodes_of(family, tasks, workers=0):
    policy, params, envs = setup(family, tasks, workers)
    try:
        return rollout(envs, policy, params, Key(1), horizon=HORIZON)
    finally:
        envs.close()


@pytest.mark.parametrize("family", [REACHING, SELDOM, ObserveTask(REACHING)], ids=["always", "seldom", "oracle"])
def test_success_counts_if_reached_before_the_end(family):
    episodes = episodes_of(family, BY_HAND)
    assert episodes.mask.sum(2).tolist() == [[6, 6], [2, 2], [2, 2], [6, 6]]
    assert not episodes.successes[~episodes.mask].any()
    assert success_rates(episodes).tolist() == RATES
    assert by_hand(BY_HAND).tolist() == RATES


@pytest.mark.parametrize("family", [REACHING, SELDOM], ids=["always", "seldom"])
def test_workers_say_the_same(family):
    alone = episodes_of(family, BY_HAND)
    for workers in (1, 3):
        shared = episodes_of(family, BY_HAND, workers)
        assert all(torch.equal(a, b) for a, b in zip(tensors(alone), tensors(shared), strict=True))


def test_rounds_of_a_budget_are_counted_together():
    tasks = {"at": np.array([2, 5]), "ends": np.array([3, 1])}
    policy, params, envs = setup(SELDOM, tasks)
    episodes = collect(envs, policy, params, Key(1), horizon=HORIZON, transitions=9)
    assert episodes.mask[..., 0].sum(1).tolist() == [3, 9]
    assert success_rates(episodes).tolist() == [1, 0]


def test_environments_without_success_cost_nothing():
    tasks = {"at": np.array([7, 8]), "ends": np.array([6, 6])}
    assert episodes_of(SELDOM, tasks).successes is None
    assert success_rates(episodes_of(SELDOM, tasks)) is None


def test_a_problem_scores_success():
    policy, params, envs = setup(REACHING, BY_HAND)
    problem = ReinforcementLearning(policy, lambda tasks: envs, horizon=HORIZON, episodes=2)
    assert problem.collect(params, BY_HAND, Key(1)).success.tolist() == RATES


def test_what_vector_environments_say():
    assert successes_in({"near": np.ones(2)}, 2) is None
    named = {"is_success": np.array([None, True, False], object), "_is_success": np.array([False, True, True])}
    assert successes_in(named, 3).tolist() == [False, True, False]
    assert successes_in({"success": np.array([[1.0], [0.0]])}, 2).tolist() == [True, False]
    with pytest.raises(ValueError, match=r"info\['success'\] has shape \(2, 2\); expected \(2,\)"):
        successes_in({"success": np.ones((2, 2))}, 2)


class Passing(AnalyticFamily):
    """A point that drifts; success is within 0.5 of `mark`, where it is for a single step."""

    name = "passing"
    horizon = HORIZON
    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    task_space = spaces.Dict({"mark": spaces.Discrete(9)})
    splits = UniformSplits(task_space)

    def initial(self, task, noise):
        start = noise.new_zeros((*noise.shape[:-1], 1))
        return start, start

    def step(self, task, state, action, noise):
        state = state + 1
        return state, state, state[..., 0], state[..., 0] >= 4

    def succeeded(self, task, state):
        return (state[..., 0] - task["mark"]).abs() < 0.5


def test_analytic_families_may_know_success():
    family, tasks = Passing(), {"mark": np.array([0, 3, 4, 5])}
    episodes = episodes_of(family, tasks)
    assert success_rates(episodes).tolist() == [0, 1, 1, 0]
    assert episodes.successes[1, 0].tolist() == [False, False, True, False]
    env = family.make({"mark": 3})
    env.reset(seed=1)
    singly = [env.step(env.action_space.sample())[4] for _ in range(4)]
    assert singly == [{"success": flag} for flag in episodes.successes[1, 0].tolist()]
    over_gymnasium = GymVecEnv(family.make_vec(tasks, 2), 4)
    policy, params, _ = setup(family, tasks)
    again = rollout(over_gymnasium, policy, params, Key(1), horizon=HORIZON)
    assert torch.equal(again.successes, episodes.successes)


@pytest.fixture(params=[False, True], ids=["plain", "ordered"])
def run(tmp_path, request):
    config = MamlTrpoConfig(
        family="reaching:REACHING", iterations=1, meta_batch_size=5, episodes=2, validation_tasks=4,
        ordered_sums=request.param, inner=InnerConfig(lr=0.1), policy=PolicyConfig(hidden_sizes=(4,)),
    )  # fmt: skip
    train("maml-trpo", config, tmp_path / "run")
    return tmp_path / "run"


def test_training_and_validation_report_success(run):
    root = Key.from_seed(1)
    tasks = REACHING.sample_tasks(5, "meta-train", root.at("tasks", 1).generator())
    (record,) = read_metrics(run)
    rate = pytest.approx(by_hand(tasks).mean())
    assert record["success"] == [rate, rate]
    held_out = REACHING.sample_tasks(4, "meta-validation", root.at("meta-validation", "tasks").generator())
    rate = pytest.approx(by_hand(held_out).mean())
    validated = read_manifest(run / "checkpoints" / "00000001")["meta_validation"]
    assert validated["success"] == [rate, rate]
    assert validated["score"] == validated["return"][-1]


def test_query_less_updates_report_what_they_saw(tmp_path):
    config = ReptileConfig(
        family="reaching:REACHING", iterations=1, meta_batch_size=2, episodes=2, validation_tasks=0,
        inner=InnerConfig(lr=0.1, steps=2), policy=PolicyConfig(hidden_sizes=(4,)),
    )  # fmt: skip
    train("reptile", config, tmp_path / "run")
    before, between, after = read_metrics(tmp_path / "run")[0]["success"]
    assert before == between
    assert after is None


def test_evaluation_and_comparison_report_success(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("metarl.evaluation.comparison.VALIDATION_TASKS", 2)
    monkeypatch.setattr("metarl.evaluation.comparison.MOST_RATES", 3)
    monkeypatch.setattr("metarl.evaluation.statistics.RESAMPLES", 20)
    monkeypatch.setenv("COLUMNS", "140")
    listed = [{"at": int(at), "ends": int(ends)} for at, ends in zip(*BY_HAND.values(), strict=True)]
    (tmp_path / "tasks.json").write_text(json.dumps(listed))
    result = metarl.evaluate(run, split=str(tmp_path / "tasks.json"), episodes=2, steps=2)
    assert result["success_per_task"] == [[rate] * 3 for rate in RATES]
    assert result["success"]["mean"] == [0.5] * 3
    assert 0 <= result["success"]["ci95_low"][0] < 0.5 < result["success"]["ci95_high"][0] <= 1
    print_evaluation(result)
    assert "success rate" in capsys.readouterr().out
    plot_curves({"trained": result}, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5000

    compared = compare([run], tasks=3, episodes=2, steps=1)
    where = Key.from_seed(1).at("evaluation", "tasks", REACHING.name, "", "meta-test")
    rate = pytest.approx(by_hand(REACHING.sample_tasks(3, "meta-test", where.generator())).mean())
    assert compared["methods"][0]["success"]["mean"] == [rate, rate]
    print_comparison(compared)
    assert "success" in capsys.readouterr().out


def test_progress_shows_success_where_there_is_one(capsys):
    record = {"iteration": 1, "return": [1.0, 2.0], "environment_steps": 10, "wall_seconds": 1.0}
    TrainingDisplay(2).report(record)
    assert "success" not in capsys.readouterr().out
    TrainingDisplay(2).report({**record, "success": [0.25, 0.5]})
    assert "2.0 after adaptation, success 0.2500 to 0.5000, " in capsys.readouterr().out
