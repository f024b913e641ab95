"""Every command and snippet of README and docs runs, at a size that takes seconds."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from metarl.config.registry import ALGORITHMS
from tests.helpers.cli import metarl as command_line
from tests.helpers.fewshot import fewshot, write_archives

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


# Shrinks what takes minutes; everything else runs as it is written.
SMALLER_COMMANDS = [
    (r"(metarl train .*)--iterations \d+", r"\1--iterations 1 --episodes 2 --validation-tasks 1"),
    (r"(metarl train (?:(?!--iterations).)*)$", r"\1 --iterations 1 --episodes 2 --validation-tasks 1"),
    (r"(metarl train .*)--meta-batch-size \d+", r"\1"),
    (r"(metarl train .*)$", r"\1 --meta-batch-size 2"),
    (r"(metarl train rl2 .*)--episodes 2", r"\1--episodes 4"),  # a trial for each minibatch
    (r"(metarl reproduce .*)--seeds [\d ]+", r"\1--seeds 1 --iterations 1 "),
    (r"(metarl tune .*)--iterations \d+ --checkpoint-every \d+", r"\1--iterations 1"),
    (r"(metarl tune (?:(?!--iterations).)*)$", r"\1 --iterations 1"),
    (r"(metarl tune .*)--trials \d+", r"\1--trials 2"),
    (r"(metarl tune .*)--workers \d+", r"\1"),
    (r"(metarl tune .*)$", r"\1 --seeds 7 --meta-batch-size 2 --episodes 2 --validation-tasks 1"),
    (r"(metarl resume .*)--iterations \d+", r"\1--iterations 2"),
    (r"(metarl worth .*)$", r"\1 --iterations 1 --tasks 3 --episodes 2"),
    (r"(metarl (?:evaluate|compare|report) .*)--tasks \d+", r"\1--tasks 3"),
    (r"(metarl report (?:(?!--tasks).)*)$", r"\1 --tasks 3"),
    (r"(metarl report .*)$", r"\1 --episodes 2 --steps 1"),
    (r"(metarl compare .*)--episodes \d+", r"\1--episodes 2"),
    (r"(metarl compare .*)--steps \d+", r"\1--steps 1"),
    (r"(metarl evaluate .*)--episodes \d+", r"\1--episodes 2"),
    (r"(metarl evaluate .*)--samples-per-step \d+", r"\1--samples-per-step 150"),
    (r"(metarl train .*)--sb3.timesteps \d+", r"\1--sb3.timesteps 100"),
    (r"(metarl train .*)--sb3.n-envs \d+", r"\1--sb3.n-envs 1"),
    (r'(metarl train .*"batch_size": )\d+', r"\g<1>50"),
]
SMALLER_FEWSHOT = [
    (r"^(train .*)$", r"\1 --iterations 2 --validation-tasks 0 --test-queries 1"),
    (r"^(train omniglot .*)$", r"\1 --filters 4 --meta-batch-size 2 --ways 2 --queries 1 --train-shots 2"),
    (r"^(train omniglot (?:pretrain|protonet) .*)$", r"\1 --train-ways 3"),
    (r"^(evaluate .*?)( --tasks \d+)?$", r"\1 --tasks 3"),
    (r"^(evaluate .*)--ways \d+", r"\1--ways 2"),
    (r"^(evaluate .*)--queries \d+", r"\1--queries 1"),
    (r"^(compare .*?)( --tasks \d+)?$", r"\1 --tasks 3"),
    (r"^(resume .*)--iterations \d+", r"\1--iterations 3 --extend-schedule"),
]
SMALLER_CODE = [
    (r"metarl\.worth\((.*)\)", r"metarl.worth(\1, tasks=3, iterations = 1)"),
    (r"iterations=\d+", "iterations=1, meta_batch_size=2, episodes=2, validation_tasks=1"),
    (r"tasks=40", "tasks=2"),
    (r"n_steps=50, batch_size=500", "n_steps=5, batch_size=100, n_epochs=1"),
    (r"total_timesteps=[\d_]+", "total_timesteps=200"),
]
SMALLER_EXAMPLES = [
    (r"--hz \d+", "--hz 2000"),
    (r"(robot_50hz.*)--episodes \d+", r"\1--episodes 2 --steps 20"),
    (r"(minigrid_images.*)--iterations \d+ --tasks \d+ --episodes \d+", r"\1--iterations 1 --tasks 2 --episodes 2"),
]
NEEDED = {
    "coming-from.md": ("stable_baselines3", "sb3"),
    "stable-baselines3.md": ("stable_baselines3", "sb3"),
    "networks.md": ("minigrid", "minigrid"),
    "trials.md": ("sb3_contrib", "sb3"),
    "report.md": ("plotly", "report"),
    "deployment.md": ("onnxruntime", "export"),
    "tuning.md": ("optuna", "tune"),
}
"""Packages that pages need, and the extras that install them."""


def blocks(page):
    return [(match[1], match[2]) for match in FENCE.finditer(page.read_text())]


def smaller(text, rules):
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text


def commands(text):
    """Lines of a shell block, continuations joined, comments dropped, loops over seeds unrolled once."""
    text = re.sub(r"for seed in 1 2 3; do\n(.*?)\ndone", lambda m: m[1].replace("$seed", "1"), text, flags=re.DOTALL)
    for line in text.replace("\\\n", " ").splitlines():
        line = line.split(" #")[0].strip()
        if line and not line.startswith("#"):
            yield line


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_everything_on_the_page_runs(page, tmp_path, monkeypatch):
    if page.name in NEEDED:
        package, extra = NEEDED[page.name]
        pytest.importorskip(package, reason=f"{package} is not installed (extra {extra})")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    write_archives(tmp_path)
    monkeypatch.setenv("METARL_OMNIGLOT", str(tmp_path))
    monkeypatch.setenv("METARL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("benchmarks.fewshot.cli.RATE_TASKS", 2)
    monkeypatch.setattr("metarl.evaluation.comparison.VALIDATION_TASKS", 2)
    monkeypatch.setattr("metarl.evaluation.comparison.VALIDATION_EPISODES", 2)
    monkeypatch.setattr("metarl.evaluation.comparison.MOST_RATES", 2)
    names: dict = {}
    for language, text in blocks(page):
        if language == "python":
            named = re.match(r"# (\w+\.py)\n", text)
            if named:
                (tmp_path / named[1]).write_text(text)
                sys.modules.pop(Path(named[1]).stem, None)
            exec(compile(smaller(text, SMALLER_CODE), str(page), "exec"), names)
        elif language == "bash":
            for line in commands(text):
                run_line(line)


def run_line(line):
    program = shlex.split(line)[0]
    if program == "metarl":
        line = smaller(line, SMALLER_COMMANDS)
        code, _, err = command_line(line.removeprefix("metarl ").replace("{", "{{").replace("}", "}}"))
        assert (code, err) == (0, ""), line
    elif program == "torchrun":  # one process here; tests/test_ranks.py has several
        run_line(line.partition(" -m ")[2])
    elif program == "make":
        target = shlex.split(line)[1]
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
    elif line.startswith("python -m benchmarks.fewshot "):
        line = smaller(line.removeprefix("python -m benchmarks.fewshot "), SMALLER_FEWSHOT)
        code, _, err = fewshot(line)
        assert (code, err) == (0, ""), line
    elif line.startswith("python examples/"):
        _, script, *arguments = shlex.split(smaller(line, SMALLER_EXAMPLES))
        done = subprocess.run(
            [sys.executable, str(ROOT / script), *arguments], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), line
    elif program == "python":
        _, _, module, *arguments = shlex.split(line)
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), line
        if module in ("benchmarks.speed", "benchmarks.results"):
            assert arguments[0] in importlib.import_module(f"{module}.__main__").SCRIPTS, line
    else:
        assert program in ("pip", "pre-commit"), line


def test_commands_of_the_benchmarks_in_the_text_exist():
    """Commands outside of blocks, in sentences and in the heads of tables."""
    found = 0
    for page in PAGES:
        for line in re.findall(r"`(python -m (?:benchmarks|tests)[^`]*)`", page.read_text()):
            if "NAME" not in line and "fewshot" not in line:
                run_line(line)
                found += 1
    assert found > 5


def test_the_demonstration_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.demo", "--iterations", "2", "--meta-batch-size", "3", "--tasks", "3",
         "--out", str(tmp_path / "demo")],
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "One adaptation step" in done.stdout
    for name in ("adaptation.png", "trajectories.png"):
        assert (tmp_path / "demo" / name).stat().st_size > 5000
    assert (tmp_path / "demo" / "trained.json").exists()


def test_the_trainings_in_the_table_of_methods_are_valid(monkeypatch):
    table = (ROOT / "README.md").read_text().partition("## Methods")[2].partition("\n\nThe options")[0]
    rows = [row.split(" | ") for row in table.splitlines() if row.startswith("| ")]
    lines = [line for row in rows[1:] for line in re.findall(r"`([^`]*)`", row[1])]
    trained = []
    monkeypatch.setattr("metarl.cli.run_training", lambda kind, algorithm, *rest: trained.append(algorithm) or 0)
    for line in lines:
        code, _, err = command_line(f"train {line} --run-dir runs/x")
        assert (code, err) == (0, ""), line
    assert set(trained) == set(ALGORITHMS)


def test_a_family_in_fifteen_lines():
    code = next(
        text for language, text in blocks(ROOT / "README.md") if language == "python" and "declare_family" in text
    )
    assert len(code.strip().splitlines()) <= 15


def test_the_family_in_the_docs_keeps_its_contract(tmp_path):
    import numpy as np
    from gymnasium.utils.env_checker import check_env

    code = next(text for _, text in blocks(ROOT / "docs" / "families.md") if "class Drift" in text)
    names: dict = {}
    exec(code, names)
    family = names["Drift"]()
    env = family.make({"wind": np.array([0.3], np.float32)})
    check_env(env)
    vector = family.make_vec({"wind": np.array([[0.1], [0.3]], np.float32)}, 2)
    vector.reset(seed=[5, 6, 7, 8])
    env.reset(seed=8)
    for _ in range(5):
        batch = vector.step(np.full((4, 1), 0.5, np.float32))
        single = env.step(np.array([0.5], np.float32))
        assert batch[0][3] == pytest.approx(single[0], abs=1e-7)
