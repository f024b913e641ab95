"""The benchmark of an iteration runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_benchmark_runs(tmp_path):
    path = tmp_path / "throughput.json"
    small = ["--iterations", "1", "--naive-iterations", "1", "--tasks", "2", "--episodes", "2"]
    command = [sys.executable, "-m", "benchmarks.speed", "iteration", *small, "--json", str(path)]
    # One thread: where other programs hold the cores, two of them wait for one another most of the time.
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(path.read_text())
    assert set(result) == {"machine", "workload", "library", "naive", "ratio"}
    for side in ("library", "naive"):
        phases = result[side]["phases"]
        assert set(phases) == {"collect", "adapt", "gradient", "curvature", "line_search"}
        assert 0 < sum(phases.values()) <= result[side]["seconds"] * 1.001
    assert result["ratio"] == result["naive"]["seconds"] / result["library"]["seconds"]
    assert result["library"]["sampling"]["transitions_per_second"] > 0
    assert result["library"]["peak_memory_bytes"] > 1e7
    assert "collecting, advantages included" in done.stdout
