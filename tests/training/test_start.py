from dataclasses import replace

import pytest

from metarl.config.run import InnerConfig
from metarl.core.errors import ConfigError, RunError
from metarl.runs.directory import RunLock, read_config
from metarl.training.start import resume, train
from tests.helpers.runs import assert_same_run
from tests.helpers.steps import tiny


def test_a_schedule_is_not_outrun_by_mistake(tmp_path):
    train("reptile", tiny("reptile", iterations=2), tmp_path / "run")
    with pytest.raises(ConfigError, match="--extend-schedule"):
        resume(tmp_path / "run", iterations=3)
    assert resume(tmp_path / "run", iterations=3, extend_schedule=True).iteration == 3


def test_extending_a_run_is_bitwise_the_longer_run(tmp_path, tiny_config):
    train("maml-trpo", tiny_config, tmp_path / "whole")
    train("maml-trpo", replace(tiny_config, iterations=1), tmp_path / "parts")
    resume(tmp_path / "parts", iterations=3)
    resume(tmp_path / "parts", iterations=4)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_or_resume(tmp_path, tiny_config, monkeypatch):
    run = tmp_path / "run"
    train("maml-trpo", tiny_config, run, or_resume=True)
    assert train("maml-trpo", tiny_config, run, or_resume=True).iteration == 4
    with pytest.raises(RunError, match="seed is 1 there and 2 here"):
        train("maml-trpo", replace(tiny_config, seed=2), run, or_resume=True)
    with pytest.raises(RunError, match="holds a run already"):
        train("maml-trpo", tiny_config, run)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert train("maml-trpo", tiny_config, run).iteration == 4


def test_places_that_are_taken(tmp_path, tiny_config):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("precious")
    with pytest.raises(RunError, match="not an empty directory"):
        train("maml-trpo", tiny_config, tmp_path / "full")
    assert (tmp_path / "full" / "thesis.txt").read_text() == "precious"
    train("maml-trpo", replace(tiny_config, iterations=0), tmp_path / "run")
    lock = RunLock(tmp_path / "run")
    with pytest.raises(RunError, match="in use by another process"):
        resume(tmp_path / "run")
    lock.release()
    with pytest.raises(ConfigError, match="--iterations = -1"):
        resume(tmp_path / "run", iterations=-1)


@pytest.mark.parametrize("or_resume", [False, True])
def test_a_start_that_failed_does_not_block_the_corrected_command(tmp_path, tiny_config, monkeypatch, or_resume):
    """Want of memory in the first iteration: the directory holds a configuration, and nothing that was learned."""
    run = tmp_path / "run"

    def starved(self):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with monkeypatch.context() as patched:
        patched.setattr("metarl.training.loop.Training.iterate", starved)
        with pytest.raises(RuntimeError, match="allocate"):
            train("maml-trpo", tiny_config, run)
    assert (run / "config.toml").exists()
    lock = RunLock(run)
    with pytest.raises(RunError, match="in use by another process"):
        train("maml-trpo", replace(tiny_config, meta_batch_size=2), run, or_resume=or_resume)
    lock.release()
    assert train("maml-trpo", replace(tiny_config, meta_batch_size=2), run, or_resume=or_resume).iteration == 4
    assert read_config(run)[1].meta_batch_size == 2
    with pytest.raises(RunError, match="holds a run already"):
        train("maml-trpo", tiny_config, run)


def test_a_file_of_the_user_is_no_start_that_failed(tmp_path, tiny_config):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").write_text("precious = true")
    with pytest.raises(RunError, match="holds a run already"):
        train("maml-trpo", tiny_config, run)
    assert (run / "config.toml").read_text() == "precious = true"


def test_a_configuration_that_cannot_be_used_leaves_no_directory(tmp_path, tiny_config):
    with pytest.raises(ConfigError, match=r"--inner\.adapt = body"):
        train("maml-trpo", replace(tiny_config, inner=InnerConfig(adapt="body")), tmp_path / "run")
    assert not (tmp_path / "run").exists()
