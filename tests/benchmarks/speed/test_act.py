"""Time of one action."""

import numpy as np
import pytest

from benchmarks.speed import act

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra export)")


def test_every_way_is_timed():
    result = act.measure(act.Options(observation=3, actions=2, hidden_sizes=(4,), memory_size=4, calls=5, rounds=2))
    assert len(result["microseconds"]) == 5
    for value in result["microseconds"].values():
        assert 0 < value["median"] <= value["p99"] < 1e6


def test_the_exported_ways_give_the_action_of_the_agent(tmp_path):
    ways = act.ways(act.Options(), tmp_path)
    observation = np.random.default_rng(1).normal(size=17).astype(np.float32)
    expected = ways["agent.act"](observation)
    assert expected.shape == (6,)
    for name in ("exported .pt2, torch", "exported .onnx, onnxruntime"):
        assert np.allclose(ways[name](observation), expected, atol=1e-5), name


def test_calls_are_timed_one_by_one():
    seen = []
    taken = act.timed(seen.append, np.arange(4))
    assert seen == [0, 1, 2, 3]
    assert len(taken) == 4


def test_the_report_has_a_line_for_each_way():
    facts = {"cores": 2, "load_before": 0.1, "python": "3", "torch": "2", "torch_threads": 1}
    lines = act.report({"machine": facts, "microseconds": {"agent.act": {"median": 47.25, "p99": 80.0}}}).splitlines()
    assert lines[-1] == f"{'agent.act':<32}    47.2      80.0"
