import json

from metarl.runs.directory import RunLock
from metarl.runs.listing import run_status
from metarl.training.start import train


def test_how_runs_stand(tmp_path, tiny_config):
    run = tmp_path / "run"
    train("maml-trpo", tiny_config, run)
    found = run_status(run)
    assert (found.state, found.saved, found.iteration, found.total) == ("finished", 4, 4, 4)
    assert (found.algorithm, found.task_name) == ("maml-trpo", "navigation2d")
    assert found.measured == json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["return"][-1]
    (run / "checkpoints" / "00000004" / "manifest.json").write_text("{")
    assert (run_status(run).state, run_status(run).saved) == ("stopped", 2)
    lock = RunLock(run)
    assert run_status(run).state == "running"
    lock.release()
    (run / "config.toml").write_text("seed = [")
    assert run_status(run).state.startswith("damaged: ")
