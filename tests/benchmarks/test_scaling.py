import pytest

from benchmarks import scale_model, scaling, seeds_throughput

PARAMETERS = 2 * 64 + 64 + 64 * 64 + 64 + 64 * 2 + 2 + 2
"""Of the 64-64 policy on 2-D navigation."""


def test_what_two_processes_exchange_is_a_matter_of_parameters():
    options = scaling.Options(iterations=1, episodes=2)
    found = scaling.run(scaling.Arrangement(2, 1, 3), options)
    bytes_sent, value = found["exchanged_bytes"], 4
    assert bytes_sent["adapt"] == 0
    assert bytes_sent["gradient"] == value * (PARAMETERS + 2) + 8  # the loss with the number of tasks, and that again
    products = 1 + 2 * 10 + 2  # one when the thinned pull-back is recorded, ten for each with all data
    assert bytes_sent["curvature"] == value * products * PARAMETERS + 8
    assert bytes_sent["line_search"] == 4 * value * (1 + found["rescalings"] + found["backtracks"])
    assert bytes_sent["state"] == value * PARAMETERS + 8  # with the number of transitions
    assert len(found["seconds"]) == 1
    assert found["beside_iterations"] > 0


def test_the_report_says_what_is_met():
    def runs(seconds):
        return [{"seconds": seconds, "exchanged_bytes": {}, "backtracks": 0, "beside_iterations": 1.0}]

    shapes = {
        (1, 1, 20): [4.0, 9.0, 5.0], (2, 1, 20): [2.5], (1, 2, 20): [2.0],
        (1, 1, 40): [6.0], (2, 1, 40): [5.0], (1, 2, 40): [5.5],
    }  # fmt: skip
    found = {scaling.Arrangement(*shape): runs(seconds) for shape, seconds in shapes.items()}
    text = scaling.report(found, 20)
    assert "with 20 tasks two processes with a thread each are 2.00 times faster" in text
    assert "with one (efficiency 100%); wanted at least 1.6: met" in text
    assert "0.80 times as fast as one with two threads; wanted at least 1: missed" in text
    assert "1.20 times faster than one with one (efficiency 60%); wanted at least 1.6: missed" in text
    assert "1.10 times as fast as one with two threads; wanted at least 1: met" in text


def test_the_model_of_an_iteration():
    options = scale_model.Options(
        seconds_per_task=0.5, fixed=0.25, meetings=3, bytes=1000, latency=0.01, bandwidth=4000.0
    )
    assert scale_model.terms(options, 0.125, 1, 10) == {
        "drawing": 1.25, "tasks": 5.0, "fixed": 0.25, "latency": 0.0, "volume": 0.0
    }  # fmt: skip
    shared = scale_model.terms(options, 0.125, 8, 10)
    assert shared == pytest.approx({"drawing": 1.25, "tasks": 1.0, "fixed": 0.25, "latency": 0.18, "volume": 0.5})
    assert "| 1,000 | 10 |" in scale_model.report(options, 0.125)


@pytest.mark.slow
def test_seeds_are_trained_in_every_way(capsys):
    seeds_throughput.main(["--seeds", "2", "--iterations", "1", "--tasks", "2", "--rounds", "1"])
    out = capsys.readouterr().out
    assert "a process each, one after another" in out
    assert "--seeds, a batch in each of two processes" in out
    assert out.count("--seeds in one batch") == 3
