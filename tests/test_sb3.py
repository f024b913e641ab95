"""Models of Stable-Baselines3 out of metarl's runs, and back."""

import io
import json
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from conftest import load_or_skip
from gymnasium import spaces
from test_cli import metarl as command_line

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")

from stable_baselines3 import A2C, PPO, SAC
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

import metarl
import metarl.core.errors
from metarl.config.algorithms import MamlConfig
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.core.errors import ConfigError, FamilyError, RunError
from metarl.core.prng import Key
from metarl.families.declared import declare_family
from metarl.families.tasks import task_at
from metarl.sb3 import export_model, read_model
from metarl.sb3.acting import private_randomness
from metarl.sb3.environments import LearningEnv
from metarl.sb3.names import from_sb3, to_sb3
from metarl.training.start import train

SAME_POLICY = "--policy.hidden-sizes 8 6 --policy.activation tanh"


def policy_run(place, family="navigation2d", hidden_sizes=(8, 6), activation="tanh", normalised=False, **options):
    """A run after one iteration, so that no parameter is where it was drawn."""
    policy = PolicyConfig(
        hidden_sizes=hidden_sizes, activation=activation, initial_log_std=-0.3, normalise_observations=normalised
    )
    config = MamlConfig(
        family=family, iterations=1, meta_batch_size=2, episodes=2, validation_tasks=0, policy=policy, **options,
    )  # fmt: skip
    train("maml", config, place)
    return place


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return policy_run(tmp_path_factory.mktemp("runs") / "navigation")


def observations_of(family, n=50):
    return np.random.default_rng(0).normal(size=(n, *family.observation_space.shape)).astype(np.float32)


def distribution_of(agent, observations):
    rows = torch.as_tensor(observations)[None].to(next(iter(agent.params.values())).dtype)
    return agent.policy.act({name: value[None] for name, value in agent.params.items()}, rows)[0]


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


def test_value_function_starts_as_stable_baselines3_draws_it(run):
    one, same, other = (export_model(run, seed=seed) for seed in (1, 1, 2))
    value = "mlp_extractor.value_net.0.weight"
    weights = [model.policy.state_dict()[value] for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("name", ["navigation2d", "cheetah-dir"])
def test_returns_agree_on_a_family_member(tmp_path, name):
    """The same actions on all that is seen on the way; without action noise the same return; with it the same mean."""
    family = load_or_skip(name)
    source = policy_run(tmp_path / "run", family=name, hidden_sizes=(16,))
    task = task_at(family.sample_tasks(1, "meta-test", np.random.default_rng(0)), 0)
    export_model(source, tmp_path / "m.zip")
    model, agent = PPO.load(tmp_path / "m.zip", env=family.make(task)), metarl.load(source)
    env = family.make(task)
    observation, _ = env.reset(seed=5)
    total, ended = 0.0, False
    while not ended:
        action = agent.act(observation)
        assert np.allclose(model.predict(observation, deterministic=True)[0], action, atol=1e-6)
        observation, reward, terminated, truncated, _ = env.step(action)
        total, ended = total + float(reward), terminated or truncated
    if name == "navigation2d":  # a cheetah's return is another after a difference of 1e-7 in one action
        theirs, _ = evaluate_policy(model, Monitor(family.make(task)), n_eval_episodes=1)
        assert theirs == pytest.approx(total, rel=1e-4)
    results = [
        metarl.evaluate(model, family=name, tasks=20, episodes=5),
        metarl.evaluate(source, tasks=20, episodes=5, steps=0),
    ]
    means = [result["return"]["mean"][0] for result in results]
    errors = [result["return"]["standard_error"][0] for result in results]
    assert abs(means[0] - means[1]) < 4 * np.hypot(*errors)
    assert results[0]["environment_steps"] == [0]
    assert results[0]["protocol"]["acts"] == "PPO of Stable-Baselines3"


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


def test_names_are_a_bijection(run):
    theta = metarl.load(run).params
    back = from_sb3(to_sb3(theta), "there")
    assert back.keys() == theta.keys()
    assert all(torch.equal(back[name], value) for name, value in theta.items())


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


def test_what_started_elsewhere_resumes_without_its_file(run, tmp_path):
    source = tmp_path / "m.zip"
    export_model(run, source)
    config = MamlConfig(
        family="navigation2d", iterations=2, meta_batch_size=2, episodes=2, validation_tasks=0, checkpoint_every=1,
        policy=PolicyConfig(hidden_sizes=(8, 6)), initialise_from=str(source),
    )  # fmt: skip
    train("maml", config, tmp_path / "a")
    source.unlink()
    metarl.resume(tmp_path / "a", iterations=3, extend_schedule=True)
    assert metarl.evaluate(tmp_path / "a", tasks=2, episodes=2, steps=0)["iteration"] == 3


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_pickled_is_executed(run, tmp_path):
    export_model(run, tmp_path / "m.zip")
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    described = json.loads(parts["data"])
    described["policy_class"][":serialized:"] = __import__("base64").b64encode(bomb).decode()

    def written(name, **changed):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for part, data in (parts | changed).items():
                archive.writestr(part, data)
        return tmp_path / name

    harmless = written("a.zip", data=json.dumps(described), **{"policy.optimizer.pth": bomb})
    assert "action_net.weight" in read_model(harmless).params
    unsafe = io.BytesIO()
    torch.save({"action_net.weight": Bomb(tmp_path / "exploded")}, unsafe)
    with pytest.raises(RunError, match="its parameters cannot be read"):
        read_model(written("b.zip", **{"policy.pth": unsafe.getvalue()}))
    assert not (tmp_path / "exploded").exists()


def test_a_model_that_would_fill_the_memory_is_refused_before_it_is_unpacked(run, tmp_path):
    export_model(run, tmp_path / "m.zip")
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(8 << 20))

    def written(name, **changed):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for part, data in (parts | changed).items():
                archive.writestr(part, data)
        return tmp_path / name

    for changed in ({"policy.pth": bytes(8 << 20)}, {"policy.pth": inner.getvalue()}):
        with pytest.raises(RunError, match="would unpack to"):
            read_model(written("big.zip", **changed))
    with zipfile.ZipFile(tmp_path / "told.zip", "w") as archive:
        for part, data in (parts | {"data": b" " * (17 << 20)}).items():
            archive.writestr(part, data)
    with pytest.raises(RunError, match="more than 16 MiB"):
        read_model(tmp_path / "told.zip")


@pytest.fixture(scope="module")
def misfits(tmp_path_factory, run):
    """Models that are no theta of an 8-6 tanh policy on navigation2d."""
    place = tmp_path_factory.mktemp("misfits")
    env = metarl.load_family("navigation2d").make({"goal": np.zeros(2, np.float32)})

    def saved(name, kind=PPO, **options):
        kind("MlpPolicy", env, **options).save(place / name)

    saved("wide.zip", policy_kwargs={"net_arch": [9, 6]})
    saved("deep.zip", policy_kwargs={"net_arch": [8, 6, 6]})
    saved("relu.zip", policy_kwargs={"net_arch": [8, 6], "activation_fn": torch.nn.ReLU})
    saved("elu.zip", policy_kwargs={"net_arch": [8, 6], "activation_fn": torch.nn.ELU})
    saved("sde.zip", use_sde=True)
    saved("sac.zip", SAC, policy_kwargs={"net_arch": [8, 6], "activation_fn": torch.nn.Tanh}, buffer_size=10)
    pendulum = metarl.load_family("pendulum")
    one = task_at(pendulum.sample_tasks(1, "meta-train", np.random.default_rng(0)), 0)
    PPO("MlpPolicy", pendulum.make(one), policy_kwargs={"net_arch": [8, 6]}).save(place / "pendulum.zip")
    (place / "text.zip").write_text("no archive")
    with zipfile.ZipFile(place / "other.zip", "w") as archive:
        archive.writestr("data", "{}")
    return place


BAD = [
    ("wide.zip", "hidden.0.weight has shape (9, 2); expected (8, 2)"),
    ("deep.zip", "has hidden.2.weight, hidden.2.bias in addition"),
    ("relu.zip", "its activation is relu; expected tanh (--policy.activation)"),
    ("elu.zip", "its activation is an unknown function; expected tanh"),
    ("sde.zip", "explores by state-dependent noise"),
    ("sac.zip", "has no hidden.0.weight"),
    ("pendulum.zip", "log_std has shape (1,); expected (2,)"),
    ("text.zip", "not a zip file"),
    ("other.zip", "not a model of Stable-Baselines3"),
    ("none.zip", "cannot be read"),
]


@pytest.mark.parametrize(("name", "message"), BAD)
def test_misfits_are_refused_in_one_line(misfits, tmp_path, name, message):
    code, out, err = command_line(
        f"train maml --family navigation2d --iterations 1 {SAME_POLICY} --run-dir {{t}}/x"
        " --initialise-from {m}/{name}",
        t=tmp_path, m=misfits, name=name,
    )  # fmt: skip
    assert (code, out) == (2, "")
    assert err.startswith("metarl: error: --initialise-from = ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("export {r} {t}/m.onnx", "expected a file name that ends in .zip"),
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


def test_evaluating_a_model(run):
    model = export_model(run)
    with pytest.raises(ConfigError, match="family is missing"):
        metarl.evaluate(model)
    with pytest.raises(ConfigError, match="steps = 2; expected 0"):
        metarl.evaluate(model, family="navigation2d", steps=2)
    with pytest.raises(FamilyError, match="observations have shape"):
        metarl.evaluate(model, family="pendulum")
    once, again = (metarl.evaluate(model, family="navigation2d", tasks=3, episodes=4) for _ in range(2))
    assert once == again
    assert once["tasks"] == 3
    assert once["transitions"] == [0.0]


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
    with private_randomness(Key(4)) as seed:
        drawn = torch.rand(2)
    assert torch.equal(drawn, torch.rand(2, generator=torch.Generator().manual_seed(seed)))


def test_environments_go_from_task_to_task_and_count_actions_from_zero():
    import gymnasium

    class Counting(gymnasium.Env):
        observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        action_space = spaces.Discrete(3, start=5)
        size = 0.0

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.full(1, self.size, np.float32), {}

        def step(self, action):
            assert 5 <= action < 8, action
            return np.full(1, action, np.float32), 0.0, False, False, {}

    family = declare_family(lambda: Counting(), spaces.Dict({"size": spaces.Box(0, 9, ())}), horizon=4, name="counting")
    env = LearningEnv(family, {"size": np.array([1.0, 2.0, 3.0])}, 1)
    assert [float(env.reset()[0][0]) for _ in range(4)] == [2.0, 3.0, 1.0, 2.0]
    assert env.action_space == spaces.Discrete(3)
    assert float(env.step(2)[0][0]) == 7.0
    with pytest.raises(
        metarl.core.errors.EnvironmentFault, match=r"family 'counting', task 1: step raised AssertionError: 8"
    ):
        env.step(3)


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
