"""Exported files against the agents that they came from."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch

import metarl
from metarl.config.run import InnerConfig
from metarl.core.errors import ConfigError, RunError
from metarl.deployment import export as exporting
from tests.helpers.agents import BOX, CHOICES, agent, memory_agent
from tests.helpers.cli import metarl as command_line
from tests.helpers.runs import policy_run
from tests.helpers.sb3 import distribution_of

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra export)")

TOLERANCE = 1e-5


def opened(path):
    """The exported policy as a function of named arrays, and the facts in its metadata."""
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        facts = session.get_modelmeta().custom_metadata_map["metarl"]
        return lambda **given: dict(zip(names, session.run(None, given), strict=True)), json.loads(facts)
    extra = {"metarl.json": ""}
    program = torch.export.load(path, extra_files=extra).module()

    def run(**given):
        with torch.no_grad():
            return {n: v.numpy() for n, v in program(**{n: torch.as_tensor(v) for n, v in given.items()}).items()}

    return run, json.loads(extra["metarl.json"])


KINDS = {
    "gaussian": {},
    "categorical": {"action": CHOICES},
    "CAVIA": {"context": 3, "inner": InnerConfig(lr=0.5, adapt="context")},
    "Meta-SGD": {"inner": InnerConfig(lr=0.05, learned_lr="per-parameter")},
    "ANIL": {"inner": InnerConfig(lr=0.05, adapt="head"), "action": CHOICES},
    "Adam": {"inner": InnerConfig(lr=0.01, optimiser="adam")},
    "normalised": {"normalise_observations": True, "activation": "relu"},
    "double": {"dtype": "float64"},
}


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize("kind", KINDS)
def test_distributions_and_modes_are_those_of_the_agent(tmp_path, kind, suffix):
    given = agent(**KINDS[kind])
    given.export(tmp_path / f"policy{suffix}")
    run, facts = opened(tmp_path / f"policy{suffix}")
    for rows in (1, 2, 40):
        seen = np.random.default_rng(rows).normal(size=(rows, 5)).astype(np.float32) * 2
        found = run(observation=seen)
        expected = distribution_of(given, seen)
        for name, value in zip(expected._fields, expected, strict=True):
            assert np.allclose(found[name], value[0], atol=TOLERANCE, rtol=0), name
        assert np.allclose(found["action"], [given.act(row) for row in seen], atol=TOLERANCE, rtol=0)
    assert list(facts["outputs"]) == [*expected._fields, "action"]
    assert facts["inputs"] == {"observation": {"dtype": "float32", "shape": ["batch", 5]}}
    assert found["action"].dtype == facts["outputs"]["action"]["dtype"]
    assert found["action"].dtype == (np.int64 if "action" in KINDS[kind] else np.float32)


MEMORIES = {
    "gru": {},
    "lstm": {"memory": "lstm", "action": CHOICES},
    "lstm of numbers": {"memory": "lstm", "observation_embedding": 4, "action_embedding": 3, "reward_embedding": 2},
    "hypernetwork": {"hypernetwork": True, "latent_size": 4, "action": CHOICES},
    "double": {"dtype": "float64"},
}


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize("kind", MEMORIES)
def test_a_whole_trial_of_a_policy_with_memory(tmp_path, kind, suffix):
    """40 steps in four episodes: rewards, ends, and sampled actions that the space clips, fed back to both."""
    options = MEMORIES[kind]
    given = memory_agent(**options)
    given.export(tmp_path / f"policy{suffix}")
    run, facts = opened(tmp_path / f"policy{suffix}")
    types = {name: entry["dtype"] for name, entry in facts["inputs"].items()}
    fed = {name: np.array([value], types[name]) for name, value in facts["initial"].items()}
    rng, actions = np.random.default_rng(3), set()
    for step in range(40):
        seen = rng.normal(size=5).astype(np.float32)
        found = run(observation=seen[None], **fed)
        deterministic = step % 3 > 0
        action = given.act(seen, deterministic=deterministic, seed=2)
        if deterministic:
            assert np.allclose(found["action"][0], action, atol=TOLERANCE, rtol=0)
        assert np.allclose(found["memory_out"][0], given._memory["state"][0, 0], atol=TOLERANCE, rtol=0)
        reward, end = float(rng.normal()), step % 10 == 9
        taken = given._acted[0, 0].numpy() + (2 if "action" in options else 0)  # before it is clipped
        actions.add(tuple(np.atleast_1d(taken)))
        given.record(reward, end)
        values = {"previous_action": taken, "previous_reward": reward, "previous_end": end}
        fed = {name: np.array([value], types[name]) for name, value in values.items()}
        fed["memory_in"] = found["memory_out"]
    assert len(actions) > 2


def test_a_run_and_an_adapted_policy_by_the_command_line(tmp_path):
    run = policy_run(tmp_path / "run", normalised=True)
    names = {"run": run, "t": tmp_path}
    adapt = "adapt {run} --task '{{\"goal\": [0.3, -0.2]}}' --episodes 2 --out {t}/adapted.safetensors"
    assert command_line(adapt, **names)[0] == 0
    for source, task, steps in ((run, None, 0), (tmp_path / "adapted.safetensors", {"goal": [0.3, -0.2]}, 1)):
        for suffix in (".onnx", ".pt2"):
            code, out, err = command_line(f"export {source} {{t}}/policy{suffix}", **names)
            assert (code, out, err) == (0, f"saved {tmp_path}/policy{suffix}\n", "")
            exported, facts = opened(tmp_path / f"policy{suffix}")
            given = metarl.load(source)
            seen = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
            acted = [given.act(row) for row in seen]
            assert np.allclose(exported(observation=seen)["action"], acted, atol=TOLERANCE, rtol=0)
            assert (facts["family"], facts["variant"]) == ("navigation2d", given.config.variant)
            assert (facts["task"], len(facts["returns"]), facts["horizon"]) == (task, steps, 100)
            assert facts["spaces"]["action"] == {"low": [-1.0, -1.0], "high": [1.0, 1.0]}
            assert (facts["metarl"], facts["torch"]) == (metarl.__version__, torch.__version__)


def test_a_checkpoint_is_chosen_and_a_run_with_memory_is_exported(tmp_path):
    line = (
        "train rl2 --family tabular-mdp --iterations 1 --meta-batch-size 2 --episodes 2 --validation-tasks 0 "
        "--ppo.minibatches 2 --policy.memory-size 6 --run-dir {t}/run"
    )
    assert command_line(line, t=tmp_path)[0] == 0
    code, _, err = command_line("export {t}/run {t}/policy.onnx --checkpoint 1", t=tmp_path)
    assert (code, err) == (0, "")
    _, facts = opened(tmp_path / "policy.onnx")
    assert list(facts["inputs"])[-1] == "memory_in"
    code, _, err = command_line("export {t}/run {t}/policy.onnx --checkpoint 7", t=tmp_path)
    assert (code, len(err.splitlines())) == (2, 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{t}/m.h5", "expected a file name that ends in .zip or .onnx or .pt2"),
        ("{t}/m.onnx --algorithm A2C", "--algorithm = A2C; expected none: it is for a model of Stable-Baselines3"),
        ("{t}/m.pt2 --settings '{{\"n_steps\": 1}}'", "--settings = "),
        ("{t}/m.onnx --family navigation2d", "--family = navigation2d; expected none"),
        ("{t}/none/m.pt2", "cannot be written: No such file or directory"),
    ],
)
def test_exports_that_cannot_be(navigation_run, tmp_path, line, message):
    code, _, err = command_line("export {r} " + line, r=navigation_run, t=tmp_path)
    assert (code, len(err.splitlines())) == (2, 1), err
    assert message in err
    assert not list(tmp_path.iterdir())


def test_the_suffix_is_checked_in_python_too(tmp_path):
    with pytest.raises(ConfigError, match=r"policy.zip: expected a file name that ends in .onnx or .pt2, or in .zip"):
        agent().export(tmp_path / "policy.zip")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_a_package_the_extra_is_named(navigation_run, tmp_path, monkeypatch, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    code, _, err = command_line("export {r} {t}/m.onnx", r=navigation_run, t=tmp_path)
    assert (code, len(err.splitlines())) == (2, 1)
    assert f"{package} is not installed; pip install 'metarl-toolkit[export]'" in err
    assert command_line("export {r} {t}/m.pt2", r=navigation_run, t=tmp_path)[0] == 0  # needs torch alone


def test_a_file_that_differs_from_the_policy_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_as_torch", lambda *_: (b"", lambda given: {
        "mean": torch.zeros(len(given["observation"]), 2), "log_std": torch.zeros(1), "action": torch.zeros(1),
    }))  # fmt: skip
    with pytest.raises(RunError, match=r"not written, since its 'mean' differs from the policy's by [\d.]+"):
        agent().export(tmp_path / "policy.pt2")
    assert not list(tmp_path.iterdir())


def test_a_policy_that_cannot_be_traced(tmp_path):
    given = agent()

    class Branching(type(given.policy)):
        def act(self, params, observations, memory=None):
            return super().act(params, observations if observations.sum() > 0 else -observations, memory)

    given.policy.__class__ = Branching
    with pytest.raises(RunError, match=r"^\S+: torch.export cannot trace the policy: ") as raised:
        given.export(tmp_path / "policy.pt2")
    assert "\n" not in str(raised.value)


def test_a_file_of_metarl_holds_no_pickle_and_no_place_of_this_machine(tmp_path, monkeypatch):
    """Loading a file of torch.export unpickles the entries that ask for it; those of metarl do not."""
    for given in (agent(), memory_agent()):
        given.export(tmp_path / "policy.pt2")
        given.export(tmp_path / "policy.onnx")
        with zipfile.ZipFile(tmp_path / "policy.pt2") as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        configs = [json.loads(data) for name, data in entries.items() if name.endswith("_config.json")]
        assert len(configs) == 2
        assert not [entry for config in configs for entry in config["config"].values() if entry["use_pickle"]]
        for data in (*entries.values(), (tmp_path / "policy.onnx").read_bytes()):
            assert not data.startswith(b"\x80")
            assert b".py" not in data

        def refuse(*_, **__):
            raise AssertionError("unpickled")

        with monkeypatch.context() as patched:
            patched.setattr(pickle, "loads", refuse)
            patched.setattr(pickle, "load", refuse)
            patched.setattr(torch, "load", refuse)
            torch.export.load(io.BytesIO((tmp_path / "policy.pt2").read_bytes()))


def test_exports_of_a_box_with_an_unbounded_side(tmp_path):
    """JSON has no infinity: an unbounded side is null, and its actions are not clipped."""
    given = agent(BOX)
    given.export(tmp_path / "policy.onnx")
    run, facts = opened(tmp_path / "policy.onnx")
    assert facts["spaces"]["action"] == BOX
    found = run(observation=np.full((1, 5), 50, np.float32))
    assert np.allclose(found["action"][0, 1], found["mean"][0, 1])
