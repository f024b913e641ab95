"""A control loop at a fixed rate without an environment: load an agent, record episodes on a robot, update, go on.

    python examples/robot_50hz.py --run runs/navigation

RUN is a run directory or a policy file of a family with two numbers as observation and as action, such as navigation2d.
The robot here is a simulation in real time; replace `FakeRobot` by the driver of yours, with the same three methods.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

import metarl

Clock = Callable[[], float]
"""Seconds since some moment."""


class FakeRobot:
    """A cart on a plane that drives at the commanded velocity, some time after the command was given.

    Args:
        goal: The place where the cart should be; the agent does not know it.
        hz: Rate of the control loop. A command of one drives 0.1 in a period.
        latency: Seconds from `write` until the cart obeys.
        noise: Standard deviation of measured positions.
        clock: Gives the time.
    """

    def __init__(
        self,
        goal: Sequence[float],
        hz: float,
        latency: float = 0.0,
        noise: float = 0.0,
        clock: Clock = time.perf_counter,
    ) -> None:
        self.goal = np.asarray(goal, float)
        self.speed, self.latency, self.noise, self.clock = 0.1 * hz, latency, noise, clock
        self._random = np.random.default_rng(0)
        self.home()

    def home(self) -> None:
        """Bring the cart to the origin and stop it."""
        self._position, self._velocity = np.zeros(2), np.zeros(2)
        self._commands: deque[tuple[float, np.ndarray]] = deque()
        self._time = self.clock()

    def read(self) -> tuple[np.ndarray, float]:
        """The measured position, and the reward: minus the distance from the goal."""
        self._drive(self.clock())
        measured = self._position + self.noise * self._random.normal(size=2)
        return measured.astype(np.float32), -float(np.linalg.norm(self._position - self.goal))

    def write(self, command: np.ndarray) -> None:
        """Command a velocity, in fractions of the largest one."""
        now = self.clock()
        self._drive(now)
        self._commands.append((now + self.latency, self.speed * np.clip(command, -1, 1)))

    def _drive(self, now: float) -> None:
        """Move to where the cart is now, with the commands that have reached it."""
        while self._commands and self._commands[0][0] <= now:
            at, velocity = self._commands.popleft()
            self._position = self._position + (at - self._time) * self._velocity
            self._time, self._velocity = at, velocity
        self._position = self._position + (now - self._time) * self._velocity
        self._time = now


class Ticker:
    """Waits for the ticks of a control loop, and notes how late it woke and how long the loop computed.

    Args:
        hz: Ticks a second.
        clock: Gives the time.
        sleep: Waits for some seconds.
    """

    def __init__(
        self, hz: float, clock: Clock = time.perf_counter, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.period, self._clock, self._sleep = 1 / hz, clock, sleep
        self.late: list[float] = []
        self.busy: list[float] = []
        self.start()

    def start(self) -> None:
        """Count ticks from now on."""
        self._due = self._woke = self._clock()

    def wait(self) -> None:
        """Sleep until the next tick; after a tick that was missed the loop goes on at once."""
        self._due += self.period
        now = self._clock()
        self.busy.append(now - self._woke)
        if now < self._due:
            self._sleep(self._due - now)
        self._woke = self._clock()
        self.late.append(self._woke - self._due)


def run_episode(
    agent: metarl.Agent, robot: FakeRobot, ticker: Ticker, *, steps: int, explore: bool, seed: int
) -> float:
    """One episode, whose return it gives; with `explore` the actions are sampled, and the agent records them."""
    robot.home()
    ticker.start()
    observation, _ = robot.read()
    total = 0.0
    for step in range(steps):
        robot.write(agent.act(observation, deterministic=not explore, seed=seed, keep_last=step > 0))
        ticker.wait()
        observation, reward = robot.read()
        total += reward
        if explore:
            agent.record(reward, truncated=step == steps - 1)
    return total


class Outcome(NamedTuple):
    """What the loop measured."""

    before: float
    """Mean return before the updates, without action noise."""
    recorded: list[float]
    """Mean return of the recorded episodes of each update."""
    after: float
    """Mean return after the updates, without action noise."""
    agent: metarl.Agent
    """The adapted agent."""


def adapt_on_robot(
    agent: metarl.Agent, robot: FakeRobot, ticker: Ticker, *, steps: int, episodes: int, updates: int, seed: int = 1
) -> Outcome:
    """Measure, then record episodes and update as often as asked, then measure again."""

    def measure() -> float:
        returns = [run_episode(agent, robot, ticker, steps=steps, explore=False, seed=seed) for _ in range(3)]
        return sum(returns) / len(returns)

    before = measure()
    for _ in range(updates):
        for _ in range(episodes):
            run_episode(agent, robot, ticker, steps=steps, explore=True, seed=seed)
        agent = agent.update()  # between episodes: the cart may wait
    return Outcome(before, agent.returns[-updates:], measure(), agent)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the loop and print returns and jitter."""
    parser = argparse.ArgumentParser(description="Adapt a policy on a (fake) robot at a fixed rate.")
    parser.add_argument("--run", required=True, help="run directory, or a policy of metarl adapt")
    parser.add_argument("--hz", type=float, default=50.0, help="rate of the control loop")
    parser.add_argument("--steps", type=int, help="steps of an episode; the horizon of training by default")
    parser.add_argument("--episodes", type=int, default=10, help="recorded episodes of each update")
    parser.add_argument("--updates", type=int, default=1, help="updates")
    parser.add_argument("--goal", type=float, nargs=2, default=(0.4, -0.3), help="where the cart should be")
    parser.add_argument("--latency", type=float, default=0.1, help="latency of commands, in periods")
    parser.add_argument("--out", help="file for the adapted policy (.safetensors)")
    options = parser.parse_args(arguments)

    agent = metarl.load(options.run)
    if not isinstance(agent, metarl.Agent):
        parser.error(f"{options.run}: adapts while it acts and needs no update; see docs/memory.md")
    robot = FakeRobot(options.goal, options.hz, options.latency / options.hz, noise=0.002)
    ticker = Ticker(options.hz)
    steps = options.steps or agent.horizon
    found = adapt_on_robot(agent, robot, ticker, steps=steps, episodes=options.episodes, updates=options.updates)
    print(f"return before: {found.before:.1f}, without action noise")
    for number, mean in enumerate(found.recorded, 1):
        print(f"update {number}: {options.episodes} recorded episodes, return {mean:.1f} with action noise")
    print(f"return after: {found.after:.1f}, without action noise")
    late, busy = (1000 * np.percentile(values, [50, 99, 100]) for values in (ticker.late, ticker.busy))
    print(f"{len(ticker.late)} ticks at {options.hz:g} Hz, a period of {1000 * ticker.period:.3g} ms")
    print("late by      {:.3f} ms (median), {:.3f} ms (99 %), {:.3f} ms (worst)".format(*late))
    print("computed for {:.3f} ms (median), {:.3f} ms (99 %), {:.3f} ms (worst)".format(*busy))
    if options.out:
        found.agent.save(options.out)
        print(f"saved {options.out}")


if __name__ == "__main__":
    main()
