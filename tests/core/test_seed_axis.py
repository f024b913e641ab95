import torch

from metarl.core.seed_axis import by_seed, flat, seeds_axis, stacked, state_of, tasks_of_a_seed, use_seed_axis


def test_a_run_by_itself_has_no_axis():
    values = torch.arange(6.0)
    assert seeds_axis() == ()
    assert torch.equal(by_seed(values), values)
    assert tasks_of_a_seed(6) == 6
    assert flat(values.reshape(2, 3)).tolist() == [0, 1, 2, 3, 4, 5]


def test_tasks_of_three_seeds_lie_one_seed_after_another():
    values = torch.arange(12.0).reshape(6, 2)
    with use_seed_axis(3):
        assert seeds_axis() == (3,)
        assert by_seed(values).tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]]
        assert tasks_of_a_seed(6) == 2
        assert flat(values.reshape(3, 2, 2)).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert seeds_axis() == ()


def test_the_axis_ends_with_an_error_within():
    try:
        with use_seed_axis(2):
            raise KeyError("whatever")
    except KeyError:
        assert seeds_axis() == ()


def test_states_are_stacked_and_taken_apart():
    states = [{"theta": {"x": torch.tensor([i, 2.0 * i])}, "optimiser": {"steps": torch.tensor(i)}} for i in range(3)]
    together = stacked(states)
    assert together["theta"]["x"].tolist() == [[0, 0], [1, 2], [2, 4]]
    assert together["optimiser"]["steps"].tolist() == [0, 1, 2]
    for i, state in enumerate(states):
        apart = state_of(together, i)
        assert apart.keys() == state.keys()
        assert torch.equal(apart["theta"]["x"], state["theta"]["x"])
        assert int(apart["optimiser"]["steps"]) == i
