"""Agents with memory: what they read, and their errors."""

import numpy as np
import pytest
import torch

import metarl
from metarl.cli import main
from metarl.core.errors import EnvironmentFault, FamilyError
from metarl.families.tasks import task_at
from metarl.rl.memory import History
from metarl.training.start import train
from tests.helpers.steps import tiny


@pytest.fixture(scope="module")
def memory_run(tmp_path_factory):
    config = tiny("rl2", variant=None, family="tabular-mdp", iterations=1, validation_tasks=0)
    place = tmp_path_factory.mktemp("memory") / "run"
    train("rl2", config, place)
    return place


def test_an_agent_with_memory_acts_as_its_policy_reads_the_trial(memory_run):
    """Two episodes of one task: the actions are the modes of the whole history, read at once."""
    agent = metarl.load(memory_run)
    family = metarl.load_family("tabular-mdp")
    tasks = family.sample_tasks(1, "meta-test", np.random.default_rng(0))
    env = family.make(task_at(tasks, 0))
    seen, acted, rewards, ends = [], [], [], []
    for episode in range(2):
        observation, _ = env.reset(seed=episode)
        ended = False
        while not ended:
            action = agent.act(observation)
            seen.append(observation)
            acted.append(action)
            observation, reward, terminated, truncated, _ = env.step(action)
            ended = terminated or truncated
            agent.observe(reward, ended)
            rewards.append(reward)
            ends.append(ended)
    policy, dtype = agent.policy, torch.float32
    taken = policy.encoded(torch.tensor([acted]), dtype)

    def before(values):
        values = torch.as_tensor(values, dtype=dtype)
        return torch.cat([torch.zeros_like(values[:, :1]), values[:, :-1]], 1)

    history = History(torch.tensor(np.array([seen])), before(taken), before([rewards]), before([ends]))
    start = policy.empty(history.observations[:, :1])["state"][:, 0]
    modes = policy.judge(agent.params, history, start).distribution.mode()
    assert modes[0].tolist() == acted
    first = acted[0]
    agent.forget()
    assert agent.act(seen[0]) == first


def test_an_agent_with_memory_says_what_is_missing(memory_run, capsys):
    agent = metarl.load(memory_run)
    observation = np.zeros(agent.observation_space.shape, np.float32)
    with pytest.raises(FamilyError, match="observe was called before act"):
        agent.observe(0.0, False)
    agent.act(observation)
    with pytest.raises(FamilyError, match="act was called twice; call observe"):
        agent.act(observation)
    with pytest.raises(EnvironmentFault, match="reward = nan; expected a finite number"):
        agent.observe(float("nan"), False)
    agent.observe(1.0, True)
    with pytest.raises(FamilyError, match="shape"):
        agent.act(np.zeros(99))
    draws = [(agent.act(observation, deterministic=False, seed=3), agent.observe(0.0, False))[0] for _ in range(20)]
    assert len(set(draws)) > 1
    code = main(["adapt", str(memory_run), "--task", "{}", "--out", "policy.safetensors"])
    assert (code, capsys.readouterr().err.strip()) == (
        2, f"metarl: error: {memory_run}: adapts by memory while it acts; metarl.load makes an agent of it",
    )  # fmt: skip


def test_record_is_observe_with_the_arguments_of_other_agents(memory_run):
    one, two = metarl.load(memory_run), metarl.load(memory_run)
    observation = np.zeros(one.observation_space.shape, np.float32)
    for reward, terminated, truncated in [
        (0.5, False, False),
        (1.0, False, True),
        (-1.0, True, False),
        (0.0, False, False),
    ]:
        assert one.act(observation) == two.act(observation)
        one.observe(reward, terminated or truncated)
        two.record(np.float32(reward), terminated=np.bool_(terminated), truncated=truncated)
        assert all(torch.equal(value, two._memory[name]) for name, value in one._memory.items())
        assert bool(one._memory["end"]) == (terminated or truncated)
    with pytest.raises(FamilyError, match="observe was called before act"):
        one.record(0.0)


def test_an_agent_with_memory_does_not_read_nan(memory_run):
    """The trial goes on as if the broken observation had been skipped, with the last action taken once more."""
    agent, twin = metarl.load(memory_run), metarl.load(memory_run)
    observation = np.zeros(agent.observation_space.shape, np.float32)
    broken = np.full_like(observation, np.nan)
    with pytest.raises(EnvironmentFault, match=r"^observation\[0\] = nan"):
        agent.act(broken, keep_last=True)
    first = agent.act(observation)
    assert first == twin.act(observation)
    for each in (agent, twin):
        each.observe(1.0, False)
    with pytest.raises(EnvironmentFault, match="expected finite numbers"):
        agent.act(broken)
    state = agent._memory["state"].clone()
    assert agent.act(broken, keep_last=True) == first
    assert torch.equal(agent._memory["state"], state)
    agent.observe(1.0, False)
    assert agent.act(observation) == twin.act(observation)
    agent.forget()
    with pytest.raises(EnvironmentFault):
        agent.act(broken, keep_last=True)
