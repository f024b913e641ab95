from metarl.training.progress import TrainingDisplay


def test_progress_shows_success_where_there_is_one(capsys):
    record = {"iteration": 1, "return": [1.0, 2.0], "environment_steps": 10, "wall_seconds": 1.0}
    TrainingDisplay(2).report(record)
    assert "success" not in capsys.readouterr().out
    TrainingDisplay(2).report({**record, "success": [0.25, 0.5]})
    assert "2.0 after adaptation, success 0.2500 to 0.5000, " in capsys.readouterr().out
