import zipfile

import numpy as np
import pytest
import torch

import metarl
import metarl.core.errors
from metarl.config.algorithms import MamlConfig
from metarl.config.run import PolicyConfig
from metarl.families.tasks import task_at
from metarl.sb3 import export_model
from metarl.training.start import train
from tests.helpers.cli import metarl as command_line
from tests.helpers.sb3 import SAME_POLICY

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")

from stable_baselines3 import PPO, SAC


def test_what_started_elsewhere_resumes_without_its_file(navigation_run, tmp_path):
    source = tmp_path / "m.zip"
    export_model(navigation_run, source)
    config = MamlConfig(
        family="navigation2d", iterations=2, meta_batch_size=2, episodes=2, validation_tasks=0, checkpoint_every=1,
        policy=PolicyConfig(hidden_sizes=(8, 6)), initialise_from=str(source),
    )  # fmt: skip
    train("maml", config, tmp_path / "a")
    source.unlink()
    metarl.resume(tmp_path / "a", iterations=3, extend_schedule=True)
    assert metarl.evaluate(tmp_path / "a", tasks=2, episodes=2, steps=0)["iteration"] == 3


@pytest.fixture(scope="module")
def misfits(tmp_path_factory):
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
