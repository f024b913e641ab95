import pytest
import torch

from metarl.adaptation.adapter import stack
from metarl.core.errors import Divergence, EnvironmentFault
from metarl.core.prng import Key
from metarl.families.tasks import take_tasks
from metarl.rl.data import mean_returns
from metarl.rl.rollouts import collect, rollout
from tests.helpers.families import Countdown, Noisy, lengths
from tests.helpers.numerics import tensors
from tests.helpers.steps import setup


def test_masks_and_returns_of_episodes_that_end_at_different_times():
    policy, theta, envs = setup(Countdown(), lengths(1, 3, 9), 2)
    episodes = rollout(envs, policy, stack(theta, 3), Key(1), horizon=6)
    assert episodes.mask.sum(2).tolist() == [[1, 1], [3, 3], [6, 6]]
    assert mean_returns(episodes).tolist() == [1, 6, 21]
    assert episodes.observations[1, 0, :, 0].tolist() == [0, 1, 2, 0, 0, 0]
    assert not episodes.rewards[~episodes.mask].any()
    assert episodes.transitions == 20


def test_rollout_stops_once_every_lane_has_ended():
    policy, theta, envs = setup(Countdown(), lengths(2, 2), 2)
    assert rollout(envs, policy, stack(theta, 2), Key(1), horizon=6).mask.shape == (2, 2, 2)


def test_budget_in_transitions_is_met_by_whole_episodes():
    policy, theta, envs = setup(Countdown(), lengths(1, 2, 5), 2)
    episodes = collect(envs, policy, stack(theta, 3), Key(1), horizon=6, transitions=7)
    assert episodes.mask[..., 0].sum(1).tolist() == [7, 4, 2]
    assert episodes.mask.sum((1, 2)).tolist() == [7, 8, 10]
    assert mean_returns(episodes).tolist() == [1, 3, 15]


def test_more_episodes_than_lanes_are_the_same_as_that_many_lanes():
    policy, theta, envs = setup(Noisy(), lengths(1, 1), 5)
    _, _, few = setup(Noisy(), lengths(1, 1), 2)
    params = stack(theta, 2)
    at_once = collect(envs, policy, params, Key(1), horizon=6, episodes=5)
    in_rounds = collect(few, policy, params, Key(1), horizon=6, episodes=5)
    for a, b in zip(tensors(at_once), tensors(in_rounds), strict=True):
        torch.testing.assert_close(a, b)


def test_a_task_alone_is_the_first_of_a_batch():
    policy, theta, envs = setup(Noisy(), lengths(1, 2, 3), 4, torch.float64)
    _, _, alone = setup(Noisy(), take_tasks(lengths(1, 2, 3), slice(0, 1)), 4, torch.float64)
    batch = rollout(envs, policy, stack(theta, 3), Key(9), horizon=6)
    single = rollout(alone, policy, stack(theta, 1), Key(9), horizon=6)
    for a, b in zip(tensors(batch), tensors(single), strict=True):
        torch.testing.assert_close(a[:1], b)


def test_same_key_same_episodes_and_another_key_others():
    policy, theta, envs = setup(Noisy(), lengths(1, 2), 3)
    params = stack(theta, 2)
    one, two, other = (rollout(envs, policy, params, Key(k), horizon=6) for k in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(two), strict=True))
    assert not torch.equal(one.actions, other.actions)


def test_log_probs_are_those_of_the_acting_policy():
    policy, theta, envs = setup(Noisy(), lengths(1, 2), 3)
    episodes = rollout(envs, policy, stack(theta, 2), Key(1), horizon=6)
    distribution, _ = policy.act(stack(theta, 2), episodes.observations)
    torch.testing.assert_close(episodes.log_probs, distribution.log_prob(episodes.actions), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("field", "value"), [("observation", float("nan")), ("reward", float("inf"))])
def test_a_value_that_is_not_finite_is_located(field, value):
    class Broken(Countdown):
        def step(self, task, state, action, noise):
            state, observation, reward, ended = super().step(task, state, action, noise)
            bad = (state[..., 0] == 3) & (task["length"] == 8)
            if field == "observation":
                observation = torch.where(bad[..., None], value, observation)
            else:
                reward = torch.where(bad, value, reward)
            return state, observation, reward, ended

    policy, theta, envs = setup(Broken(), lengths(7, 8), 2)
    # An observation is used at the step after the one that returned it.
    step = 3 if field == "observation" else 2
    with pytest.raises(EnvironmentFault, match=f"{field} is not finite at task 1, episode 0, step {step}"):
        rollout(envs, policy, stack(theta, 2), Key(1), horizon=6)


def test_parameters_that_diverged_are_not_the_environments_fault():
    policy, theta, envs = setup(Countdown(), lengths(7, 8), 2)
    params = {k: v.clone() for k, v in stack(theta, 2).items()}
    params["head.bias"][1] = float("nan")
    with pytest.raises(Divergence, match="task 1"):
        rollout(envs, policy, params, Key(1), horizon=6)


def test_tasks_that_have_their_budget_are_not_stepped_on():
    class Counting(Countdown):
        steps = 0

        def step(self, task, state, action, noise):
            self.steps += 1
            return super().step(task, state, action, noise)

    family = Counting()
    policy, theta, envs = setup(family, lengths(6, 1), 2)
    episodes = collect(envs, policy, stack(theta, 2), Key(1), horizon=6, transitions=12)
    assert episodes.mask.sum((1, 2)).tolist() == [12, 12]
    # Six steps of the first round; then five rounds in which only the short task goes on.
    assert family.steps == 6 + 5
