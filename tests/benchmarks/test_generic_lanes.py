import re

from benchmarks import generic_lanes


def test_it_prints_a_ratio_for_each_environment(capsys):
    generic_lanes.main(["--tasks", "2", "--episodes", "2", "--steps", "3", "--repetitions", "1"])
    lines = capsys.readouterr().out.splitlines()
    found = [re.match(r"(\S+): 4 lanes cost (\d+\.\d+) times gymnasium's vector environment", line) for line in lines]
    assert [match[1] for match in found] == list(generic_lanes.VARIED)
    assert all(float(match[2]) > 0 for match in found)
