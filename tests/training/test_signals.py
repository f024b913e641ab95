import signal
from dataclasses import replace

import pytest

from metarl.runs.checkpoint import load_newest
from metarl.training.start import resume, train
from tests.helpers.runs import assert_same_run, start, wait_for_iteration


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143), (signal.SIGKILL, -9)],
)
def test_stopping_and_resuming_is_exact(tmp_path, tiny_config, number, code):
    config = replace(tiny_config, iterations=60, checkpoint_every=7)
    run = tmp_path / "stopped"
    process = start(run, config, tmp_path)
    wait_for_iteration(run, 10, process)
    process.send_signal(number)
    assert process.wait(timeout=30) == code
    if number != signal.SIGKILL:
        assert "saved; go on with: metarl resume" in process.stderr.read()
    stopped_at = load_newest(run)[1]["iteration"]
    assert 7 <= stopped_at < 60
    resume(run, iterations=stopped_at + 3)
    train("maml-trpo", replace(config, iterations=stopped_at + 3), tmp_path / "whole")
    assert_same_run(tmp_path / "whole", run)
