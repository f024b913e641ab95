"""Models of Stable-Baselines3 out of metarl's runs, and back."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import metarl
import metarl.core.errors
from metarl.config.run import InnerConfig
from metarl.families.tasks import task_at
from metarl.sb3 import export_model
from metarl.training.start import train
from tests.helpers.cli import metarl as command_line
from tests.helpers.runs import policy_run
from tests.helpers.sb3 import SAME_POLICY, distribution_of, observations_of, tiny

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")

from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv


@pytest.mark.parametrize("kind", ["PPO", "A2C"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("hidden_sizes", [(), (5,), (8, 6)])
def test_an_exported_policy_is_the_same_function(tmp_path, kind, activation, hidden_sizes):
    source = policy_run(tmp_path / "run", hidden_sizes=hidden_sizes, activation=activation)
    export_model(source, tmp_path / "m.zip", algorithm=kind)
    model = {"PPO": PPO, "A2C": A2C}[kind].load(tmp_path / "m.zip")
    family, agent = metarl.load_family("navigation2d"), metarl.load(source)
    seen = observations_of(family)
    ours = distribution_of(agent, seen)
    theirs = model.policy.get_distribution(torch.as_tensor(seen)).distribution
    torch.testing.assert_close(ours.mean[0], theirs.mean, atol=1e-6, rtol=0)
    torch.testing.assert_close(ours.log_std[0].exp(), theirs.stddev, atol=1e-6, rtol=0)
    greedy, _ = model.predict(seen, deterministic=True)
    assert np.allclose(greedy, [agent.act(row) for row in seen], atol=1e-6)
    torch.manual_seed(3)
    drawn, _ = model.predict(seen, deterministic=False)
    torch.manual_seed(3)
    noise = torch.normal(torch.zeros(50, 2), torch.ones(50, 2))
    expected = ours.sample(noise[None])[0].detach().numpy()
    assert np.allclose(drawn, np.clip(expected, -1, 1), atol=1e-6)
    assert (drawn != expected).any()  # some were clipped: on both sides alike


def test_discrete_policies_have_the_same_probabilities(tmp_path):
    source = policy_run(tmp_path / "run", family="cartpole")
    model = export_model(source)
    seen = observations_of(metarl.load_family("cartpole"))
    ours = torch.softmax(distribution_of(metarl.load(source), seen).logits[0], -1)
    theirs = model.policy.get_distribution(torch.as_tensor(seen)).distribution.probs
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_value_function_starts_as_stable_baselines3_draws_it(run):
    one, same, other = (export_model(run, seed=seed) for seed in (1, 1, 2))
    value = "mlp_extractor.value_net.0.weight"
    weights = [model.policy.state_dict()[value] for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_plain_program_goes_on_from_the_export(run, tmp_path):
    """Callbacks, Monitor and a VecEnv of Stable-Baselines3 on `family.make(task)`, with nothing of metarl.sb3."""
    export_model(run, tmp_path / "m.zip", settings={"n_steps": 32, "batch_size": 32})
    family = metarl.load_family("navigation2d")
    tasks = family.sample_tasks(2, "meta-test", np.random.default_rng(0))
    check_env(family.make(task_at(tasks, 0)))
    envs = DummyVecEnv([lambda i=i: Monitor(family.make(task_at(tasks, i))) for i in range(2)])
    model = PPO.load(tmp_path / "m.zip", env=envs)
    before = model.policy.state_dict()["action_net.weight"].clone()
    watched = EvalCallback(Monitor(family.make(task_at(tasks, 0))), eval_freq=64, n_eval_episodes=1, verbose=0)
    model.learn(128, callback=watched)
    assert model.num_timesteps == 128
    assert np.isfinite(watched.last_mean_reward)
    assert not torch.equal(before, model.policy.state_dict()["action_net.weight"])


def test_round_trip_through_a_file_and_the_command_line(run, tmp_path):
    names = {"run": run, "t": tmp_path}
    code, out, err = command_line('export {run} {t}/m.zip --settings \'{{"n_steps": 32, "batch_size": 32}}\'', **names)
    assert (code, err) == (0, "")
    assert "PPO.load" in out
    line = f"train maml --family navigation2d --iterations 0 {SAME_POLICY} --validation-tasks 0"
    code, _, err = command_line(line + " --initialise-from {t}/m.zip --run-dir {t}/back", **names)
    assert (code, err) == (0, "")
    before, after = metarl.load(run).params, metarl.load(tmp_path / "back").params
    assert all(torch.equal(after[name], value) for name, value in before.items())
    # From a run, and from a saved policy, as well.
    metarl.load(run).save(tmp_path / "p.safetensors")
    for number, source in enumerate((run, tmp_path / "p.safetensors")):
        code, _, err = command_line(line + f" --initialise-from {source} --run-dir {{t}}/{number}", **names)
        assert (code, err) == (0, "")
        assert torch.equal(metarl.load(tmp_path / str(number)).params["head.weight"], before["head.weight"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("export {r} {t}/m.h5", "expected a file name that ends in .zip"),
        ("export {r} {t}/m.zip --algorithm SAC", "--algorithm = SAC; expected PPO or A2C"),
        ("export {r} {t}/m.zip --settings n_steps", "--settings = n_steps; expected JSON"),
        (
            "export {r} {t}/m.zip --settings '{{\"n_step\": 3}}'",
            "PPO has no argument 'n_step'; did you mean 'n_steps'?",
        ),
        ("export {t}/none {t}/m.zip", "neither a run directory nor a saved policy"),
        ("export {r} {t}/m.zip --seed -1", "--seed = -1"),
    ],
)
def test_exports_that_cannot_be(run, tmp_path, line, message):
    code, _, err = command_line(line, r=run, t=tmp_path)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_learners_export_goes_on_at_the_rate_of_its_checkpoint(tmp_path):
    config = tiny(inner=InnerConfig(lr=1e-3, steps=1, schedule="linear"))
    train("reptile-sb3", config, tmp_path / "run")
    rates = [export_model(tmp_path / "run", checkpoint=number).learning_rate for number in (1, 2)]
    assert rates == pytest.approx([1e-3, 5e-4])


def test_stable_baselines3_is_imported_only_where_it_is_used():
    code = "import sys, metarl, metarl.cli, metarl.sb3, metarl.sb3.model_files, metarl.training; "
    code += "sys.exit('stable_baselines3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_stable_baselines3_the_extra_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    code, _, err = command_line("export {r} {t}/m.zip", r=run, t=tmp_path)
    assert code == 2
    assert "pip install 'metarl-toolkit[sb3]'" in err
    assert len(err.splitlines()) == 1
