"""The preset and the table, and `metarl.tune` around them."""

import pytest

from metarl.config.toml import load_preset
from metarl.tuning import print_results, run_search
from metarl.tuning.space import parse_space
from tests.helpers.tuning import scored


@pytest.fixture
def found(about, tmp_path, monkeypatch):
    """A grid whose best inner rate is the largest."""
    space = parse_space(["inner.lr=0.05,0.1,0.2", "policy.hidden_sizes=4,8x8"], about.config)
    grid = type(about)(about.algorithm, about.config, space, about.seeds, "grid", prune=False)
    monkeypatch.setattr("metarl.tuning.trial.scores_by_checkpoint", scored(lambda config, _: config.inner.lr))
    return run_search(grid, tmp_path / "study").result


def test_the_preset_is_the_best_configuration(found, about, tmp_path):
    config, _ = load_preset("maml", str(tmp_path / "study" / "preset.toml"))
    assert (config.inner.lr, config.policy.hidden_sizes) == (0.2, (4,))
    assert (config.iterations, config.keep_checkpoints, config.seed) == (5, 0, 1)
    text = (tmp_path / "study" / "preset.toml").read_text()
    assert text.startswith(
        "# The best of 6 trials of `metarl tune`, with 2 seeds each: 0.7000 on meta-validation tasks."
    )
    assert "seed" not in text.partition("\n")[2]


def test_the_table_tells_trials_seeds_worst_and_edges(found, capsys):
    assert (found["trials"], found["seeds"], found["best_at_edge"]) == (6, [5, 6], {"inner.lr": "high"})
    assert [row["score"] for row in found["rows"]] == sorted((row["score"] for row in found["rows"]), reverse=True)
    assert found["best"]["options"] == {"inner.lr": 0.2, "policy.hidden_sizes": [4]}
    print_results(found)
    out = capsys.readouterr().out
    assert "maml on navigation2d finn17: 6 trials, seeds 5, 6" in out
    assert "inner.lr: the best value is at the upper edge of 0.05,0.1,0.2" in out
    assert "8x8" in out
    assert "6 complete" in out
