"""The command line as scripts see it: exit codes, one-line errors, files."""

import contextlib
import io
import json
import os
import shlex
import subprocess
import sys

import pytest
import tomli_w

from metarl.cli import main
from metarl.config.toml import to_mapping
from metarl.training.start import train

TINY = "--meta-batch-size 2 --episodes 2 --policy.hidden-sizes 8 --validation-tasks 1 --checkpoint-every 2"


def run_main(main, line, **names):
    """Run a program's command line in this process: exit code, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(shlex.split(line.format(**names)))
        except SystemExit as stop:
            code = stop.code or 0
    return code, out.getvalue(), err.getvalue()


def metarl(line, **names):
    return run_main(main, line, **names)


@pytest.fixture
def run(tmp_path, tiny_config):
    train("maml-trpo", tiny_config, tmp_path / "run")
    return tmp_path / "run"


def test_train_evaluate_adapt_resume(tmp_path):
    names = {"run": tmp_path / "run", "tmp": tmp_path, "tiny": TINY}
    code, out, err = metarl(
        "train maml-trpo --family navigation2d --seed 1 --iterations 3 --run-dir {run} {tiny}", **names
    )
    assert (code, err) == (0, "")
    assert "iteration 3/3: return" in out
    assert "steps/s" in out
    config = (tmp_path / "run" / "config.toml").read_text()
    assert 'variant = "finn17"' in config
    assert "later_lr = 0.25" in config  # from the shipped preset for this algorithm, family and variant
    code, out, _ = metarl(
        "evaluate {run} --tasks 3 --episodes 2 --steps 2 --json {tmp}/e.json --plot {tmp}/e.png", **names
    )
    assert code == 0
    assert "protocol: " in out
    result = json.loads((tmp_path / "e.json").read_text())
    assert (result["tasks"], result["environment_steps"]) == (3, [0, 200, 400])
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = metarl(
        "adapt {run} --task '{{\"goal\": [0.3, -0.2]}}' --steps 2 --episodes 2"
        " --out {tmp}/p.safetensors --video {tmp}/p.gif",
        **names,
    )
    assert code == 0
    assert (tmp_path / "p.gif").read_bytes().startswith(b"GIF")
    assert (tmp_path / "p.safetensors").exists()
    code, out, _ = metarl("resume {run} --iterations 5", **names)
    assert (code, "00000005" in out) == (0, True)


def test_preset_file_and_overrides(tmp_path, tiny_config):
    (tmp_path / "mine.toml").write_text(tomli_w.dumps({"algorithm": "maml-trpo", **to_mapping(tiny_config)}))
    code, _, _ = metarl(
        "train maml-trpo --config {t}/mine.toml --run-dir {t}/a --iterations 1 --inner.lr=0.7 --inner.first-order",
        t=tmp_path,
    )
    text = (tmp_path / "a" / "config.toml").read_text()
    assert code == 0
    assert "lr = 0.7" in text
    assert "first_order = true" in text
    assert "meta_batch_size = 3" in text


def test_families_are_listed():
    code, out, _ = metarl("families")
    assert code == 0
    assert "navigation2d: horizon 100" in out
    assert "variant raw-action" in out


BAD = [
    ("trian", "unknown command 'trian'", "did you mean 'train'"),
    ("train mamltrpo --run-dir {t}/x", "unknown algorithm 'mamltrpo'", "did you mean 'maml-trpo'"),
    ("train maml-trpo", "--run-dir is missing", None),
    (
        "train maml-trpo --run-dir {t}/x --famly navigation2d",
        "unknown option --famly",
        "did you mean '--family'",
    ),
    ("train maml-trpo --run-dir {t}/x --inner.learning-rate 1", "unknown option --inner.learning-rate", None),
    (
        "train maml-trpo --run-dir {t}/x --family navigation2",
        "unknown family 'navigation2'",
        "did you mean 'navigation2d'",
    ),
    ("train maml-trpo --run-dir {t}/x --family nowhere:family", "nowhere", None),
    ("train maml-trpo --run-dir {t}/x --variant fin17", "unknown variant 'fin17'", "did you mean 'finn17'"),
    ("train maml-trpo --run-dir {t}/x --iterations ten", "--iterations = ten; expected a whole number", None),
    ("train maml-trpo --run-dir {t}/x --iterations 1.5", "--iterations = 1.5; expected a whole number", None),
    ("train maml-trpo --run-dir {t}/x --inner.lr fast", "--inner.lr = fast; expected a number", None),
    ("train maml-trpo --run-dir {t}/x --inner.lr -1", "--inner.lr = -1.0; expected a number above 0", None),
    ("train maml-trpo --run-dir {t}/x --meta-batch-size 0", "--meta-batch-size = 0", None),
    ("train maml-trpo --run-dir {t}/x --policy.activation tan", "--policy.activation", "tanh"),
    (
        "train maml-trpo --run-dir {t}/x --policy.hidden-sizes a b",
        "--policy.hidden-sizes; expected whole numbers",
        None,
    ),
    ("train maml-trpo --run-dir {t}/x --device gpu", "--device = gpu", None),
    (
        "train maml-trpo --run-dir {t}/x --config nothing",
        "--config nothing: neither a file nor a shipped preset",
        None,
    ),
    ("train maml-trpo --run-dir {t}/x --config {t}/none.toml", "none.toml: cannot be read", None),
    ("train maml-trpo --run-dir {t}/x --iterations", "Missing value for argument '--iterations'", None),
    ("train maml-trpo --run-dir {r}", "holds a run already", "--or-resume"),
    ("train maml-trpo --run-dir {t}/file", "exists and is not an empty directory", None),
    ("train maml-trpo --run-dir {r} --or-resume --seed 5", "not resumed: its", None),
    ("resume {t}/none", "not a run directory", None),
    ("resume {r} --iterations -3", "--iterations = -3", None),
    ("evaluate", "missing: RUN", None),
    ("evaluate {r} --split test", "unknown split 'test'", "meta-test"),
    ("evaluate {r} --tasks -1", "--tasks = -1", None),
    ("evaluate {r} --family no:where", "no:where", None),
    ("evaluate {r} --plot {t}/x.jpeg2", "--plot", ".png"),
    ("evaluate {r} --checkpoint 17", "no checkpoint '17'", "last, best, 2, 4"),
    ("adapt {r} --out {t}/p", "missing: --task", None),
    ("adapt {r} --out {t}/p --task [1", "expected JSON", None),
    ("adapt {r} --out {t}/p --task '{{\"gaol\": [0, 0]}}'", "unknown entry 'gaol'", "did you mean 'goal'"),
    ("adapt {r} --out {t}/p --task '{{\"goal\": [0, 9]}}'", "goal = [0, 9] is outside", None),
    ("adapt {r} --out {t}/no/p --steps 0 --task '{{\"goal\": [0, 0.1]}}'", "cannot be written", None),
]


@pytest.mark.parametrize(("line", "message", "hint"), BAD, ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_wrong_is_one_line_and_nothing_is_lost(line, message, hint, run, tmp_path):
    (tmp_path / "file").write_text("precious")
    before = {p: p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file() and p.name != ".lock"}
    code, out, err = metarl(line, r=run, t=tmp_path)
    assert code == 2
    assert out == ""
    assert err.startswith("metarl: error: ")
    assert len(err.splitlines()) == 1, err
    assert "Traceback" not in err
    assert message in err
    assert hint is None or hint in err
    assert {p: p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file() and p.name != ".lock"} == before
    assert (tmp_path / "file").read_text() == "precious"
    assert not (tmp_path / "x").exists()


BROKEN = """
import gymnasium, numpy as np
from gymnasium import spaces
from metarl import declare_family

class Env(gymnasium.Env):
    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    def __init__(self, shape=2, reward=0.0, crash=0):
        self.settings = (shape, reward, crash)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(int(self.settings[0]), np.float32), {}
    def step(self, action):
        if self.settings[2]:
            raise RuntimeError("lost\\nthe robot")
        return np.zeros(2, np.float32), float("nan") if self.settings[1] else 0.0, False, False, {}

def family(**settings):
    return declare_family(lambda k: Env(**settings), spaces.Dict({"k": spaces.Discrete(2)}), horizon=4, name="mine")

shape = family(shape=3)
nan = family(reward=1.0)
crash = family(crash=1)
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shape", "observation of shape (3,); expected (2,)"),
        ("nan", "reward is not finite at task 0, episode 0, step 0"),
        ("crash", "step raised RuntimeError: lost the robot"),
    ],
)
def test_broken_families_are_named_on_the_command_line(tmp_path, monkeypatch, name, message):
    (tmp_path / "broken_families.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("broken_families", None)
    code, _, err = metarl(
        "train maml-trpo --family broken_families:{n} --run-dir r --iterations 1 {tiny}", n=name, tiny=TINY
    )
    assert code == 2
    assert message in err
    assert "iteration 1" in err
    assert len(err.splitlines()) == 1


def test_damaged_runs_are_named(run):
    (run / "config.toml").write_text("seed = [")
    assert "not valid TOML" in metarl("resume {r}", r=run)[2]
    (run / "config.toml").write_text('algorithm = "mamltrpo"')
    assert "unknown algorithm 'mamltrpo'" in metarl("evaluate {r}", r=run)[2]
    (run / "config.toml").write_text('algorithm = "maml-trpo"\nsede = 3')
    assert "unknown key 'sede'; did you mean 'seed'" in metarl("evaluate {r}", r=run)[2]


def test_damaged_checkpoint_is_one_warning(run):
    (run / "checkpoints" / "00000004" / "theta.safetensors").write_bytes(b"")
    code, _, err = metarl("evaluate {r} --tasks 2 --episodes 2 --steps 1", r=run)
    assert code == 0
    assert err.startswith("metarl: warning: ")
    assert "using 00000002 instead" in err
    assert len(err.splitlines()) == 1


def test_python_m_metarl_and_exit_codes(tmp_path):
    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "metarl", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ,
            check=False,
        )

    assert call("--version").stdout.startswith("metarl 0.")
    assert call("--help").returncode == 0
    assert call("families").returncode == 0
    wrong = call("evaluate", "nowhere")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "metarl: error: nowhere: not a run directory: it has no config.toml\n"
