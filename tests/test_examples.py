"""The control loop of examples/robot_50hz.py, on a clock of its own and in real time."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import metarl
from metarl.families.tasks import task_at

SCRIPT = Path(__file__).parents[1] / "examples" / "robot_50hz.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("robot_50hz", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["robot_50hz"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["robot_50hz"]


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_commands_arrive_late(example):
    """At 50 Hz with a latency of 5 ms a period of 20 ms has 15 ms of the new command."""
    clock = Clock()
    robot = example.FakeRobot([1.0, 0.0], 50, latency=0.005, clock=clock)
    robot.write(np.array([1.0, -0.5]))
    clock.sleep(0.02)
    position, reward = robot.read()
    assert position == pytest.approx([0.075, -0.0375])
    assert reward == pytest.approx(-np.hypot(0.925, 0.0375))
    robot.write(np.array([-9.0, 0.0]))  # as far as the cart can
    clock.sleep(0.02)
    assert robot.read()[0] == pytest.approx([0.075 + 0.025 - 0.075, -0.0375 - 0.0125])
    robot.home()
    clock.sleep(1.0)
    assert robot.read()[0].tolist() == [0.0, 0.0]


def test_ticks_keep_the_rate_and_note_what_was_late(example):
    clock = Clock()
    ticker = example.Ticker(50, clock, clock.sleep)
    for busy in (0.005, 0.03, 0.005):  # the second tick is missed; the third is in time again
        clock.sleep(busy)
        ticker.wait()
    assert ticker.busy == pytest.approx([0.005, 0.03, 0.005])
    assert ticker.late == pytest.approx([0.0, 0.01, 0.0])
    assert clock.now == pytest.approx(0.06)


def test_the_loop_adapts_as_on_the_environment(example, navigation_run):
    """Without latency and noise the cart is the environment, so the update is the step of adapt."""
    agent = metarl.load(navigation_run)
    family = metarl.load_family("navigation2d")
    task = task_at({"goal": np.array([[0.4, -0.3]], np.float32)}, 0)
    expected = agent.adapt(family.make(task), episodes=3, steps=1, horizon=20)
    clock = Clock()
    robot = example.FakeRobot([0.4, -0.3], 50, clock=clock)
    ticker = example.Ticker(50, clock, clock.sleep)
    found = example.adapt_on_robot(agent, robot, ticker, steps=20, episodes=3, updates=1)
    assert found.recorded == pytest.approx(expected.returns, rel=1e-4)
    for name, value in expected.params.items():
        torch.testing.assert_close(found.agent.params[name], value, atol=1e-4, rtol=1e-3)
    assert any(not torch.equal(value, agent.params[name]) for name, value in found.agent.params.items())
    assert len(ticker.late) == (3 + 3 + 3) * 20
    assert max(ticker.late) < 1e-9


def test_the_script_runs_in_real_time(navigation_run, tmp_path):
    line = [
        SCRIPT, "--run", navigation_run, "--hz", 2000, "--steps", 10, "--episodes", 2, "--updates", 2,
        "--out", tmp_path / "p.safetensors",
    ]  # fmt: skip
    done = subprocess.run([sys.executable, *map(str, line)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [text.split(":")[0] for text in lines[:4]] == ["return before", "update 1", "update 2", "return after"]
    assert lines[4] == "100 ticks at 2000 Hz, a period of 0.5 ms"
    assert lines[5].startswith("late by ")
    assert len(metarl.load(tmp_path / "p.safetensors").returns) == 2
