"""The costs of methods."""

import json

from benchmarks.speed import algorithm_costs


def test_costs_of_each_method_are_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(algorithm_costs, "ROWS", ("MAML", "first-order MAML", "ANIL", "ANIL, first-order"))
    monkeypatch.setattr(algorithm_costs, "WARM_UP", 0)
    path = tmp_path / "costs.json"
    algorithm_costs.main(["--iterations", "1", "--tasks", "2", "--samples", "100", "--json", str(path)])
    printed = capsys.readouterr().out
    for name in algorithm_costs.ROWS:
        assert f"| {name} |" in printed
    assert "times that of first-order MAML" in printed
    costs = json.loads(path.read_text())
    assert set(costs) == set(algorithm_costs.ROWS)
    for cost in costs.values():
        assert 0 < cost["outer_seconds"] < cost["learning_seconds"] < cost["seconds"]
        assert cost["ratio"] == cost["seconds"] / cost["network_seconds"]
