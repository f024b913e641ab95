"""MiniGrid in pixels: two goals in a room, a green one and a red one, and a task that says which of them pays.

The agent sees the room as an image of 28 x 28 pixels, which the network `cnn` reads. Which colour pays is not in the
image, so the agent has to find out by adaptation. Needs MiniGrid: pip install 'metarl-toolkit[minigrid]'.

    metarl train maml-trpo --family examples/minigrid_images.py:family --iterations 100 --run-dir runs/minigrid
    python examples/minigrid_images.py --iterations 100 --run-dir runs/minigrid
"""

import argparse

import gymnasium
from gymnasium.spaces import Dict, Discrete
from minigrid.core.grid import Grid
from minigrid.core.mission import MissionSpace
from minigrid.core.world_object import Goal
from minigrid.minigrid_env import MiniGridEnv
from minigrid.wrappers import ImgObsWrapper, RGBImgPartialObsWrapper

import metarl

COLOURS = ("green", "red")
TURNS_AND_FORWARD = 3
"""The first three of MiniGrid's actions; the others move objects."""


class TwoGoals(MiniGridEnv):
    """A room of 4 x 4 places with a goal of each colour; one pays 1, and the other costs 1."""

    def __init__(self, pays: int = 0, render_mode: str | None = None) -> None:
        self.pays = pays
        space = MissionSpace(mission_func=lambda: "find out which goal pays")
        super().__init__(space, grid_size=6, max_steps=1000, see_through_walls=True, render_mode=render_mode)

    def _gen_grid(self, width: int, height: int) -> None:
        self.grid = Grid(width, height)
        self.grid.wall_rect(0, 0, width, height)
        for colour, place in zip(COLOURS, ((1, 1), (width - 2, 1)), strict=True):
            goal = Goal()
            goal.color = colour
            self.put_obj(goal, *place)
        self.agent_pos, self.agent_dir = (width // 2 - self.np_random.integers(2), height - 2), 3
        self.mission = "find out which goal pays"

    def step(self, action):
        observation, _, terminated, truncated, info = super().step(action)
        reached = self.grid.get(*self.agent_pos)
        reward = 0.0 if reached is None else (1.0 if reached.color == COLOURS[self.pays] else -1.0)
        return observation, reward, terminated, truncated, info


class Moves(gymnasium.ActionWrapper):
    """Turning and going forward alone."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.action_space = Discrete(TURNS_AND_FORWARD)

    def action(self, action):
        return action


def make(render_mode: str | None = None) -> gymnasium.Env:
    """The room in pixels."""
    return Moves(ImgObsWrapper(RGBImgPartialObsWrapper(TwoGoals(render_mode=render_mode), tile_size=4)))


family = metarl.declare_family(make, Dict({"pays": Discrete(2)}), horizon=20, name="two-goals")


def main() -> None:
    """Train, and print the return before and after each step of adaptation to held-out tasks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run-dir", default="runs/minigrid")
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=10, help="tasks in a meta-batch, and in the evaluation")
    parser.add_argument("--episodes", type=int, default=20)
    options = parser.parse_args()
    run = metarl.train(
        "maml-trpo",
        family=family,
        run_dir=options.run_dir,
        iterations=options.iterations,
        meta_batch_size=options.tasks,
        episodes=options.episodes,
        validation_tasks=0,
        inner={"lr": 1.0},
    )
    curve = metarl.evaluate(run, family=family, tasks=options.tasks, episodes=options.episodes)["return"]["mean"]
    print("return before and after each step:", ", ".join(f"{value:.2f}" for value in curve))


if __name__ == "__main__":
    main()
