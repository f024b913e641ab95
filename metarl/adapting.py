"""`metarl adapt`: one task, given as JSON, and an optional video of the adapted policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from metarl.agent import Agent, load
from metarl.builder import build_family
from metarl.errors import ConfigError, FamilyError, RunError
from metarl.run_directory import read_config
from metarl.tasks import parse_task


def adapt_and_save(options: Any) -> Agent:
    """Adapt a run's policy to the task in `options`, save it, and film an episode if asked; returns the agent."""
    for name, value, least in (("steps", options.steps, 0), ("episodes", options.episodes, 1)):
        if value < least:
            raise ConfigError(f"--{name} = {value}; expected a whole number of at least {least}")
    try:
        value = json.loads(options.task)
    except ValueError as error:
        raise ConfigError(f"--task = {options.task}; expected JSON: {error}") from None
    _, config = read_config(options.run)
    family = build_family(config)
    task = parse_task(family.task_space, value, "--task")
    env = family.make(task)
    agent = load(options.run, options.checkpoint).adapt(
        env,
        episodes=options.episodes,
        steps=options.steps,
        inner_lr=options.inner_lr,
        later_inner_lr=options.later_inner_lr,
        seed=options.seed,
    )
    agent.save(options.out)
    final = _episode_return(agent, env, family.horizon, options.seed)
    curve = ", ".join(f"{value:.1f}" for value in agent.returns)
    print(f"return before each step: {curve or '-'}; after the last, without action noise: {final:.1f}")
    print(f"saved {options.out}")
    if options.video is not None:
        film(agent, family.make(task, render_mode="rgb_array"), family.horizon, options.video, options.seed)
        print(f"saved {options.video}")
    return agent


def _episode_return(agent: Agent, env: gymnasium.Env, horizon: int, seed: int) -> float:
    observation, _ = env.reset(seed=seed)
    total = 0.0
    for _ in range(horizon):
        observation, reward, terminated, truncated, _ = env.step(agent.act(observation))
        total += float(reward)
        if terminated or truncated:
            break
    return total


def film(agent: Agent, env: gymnasium.Env, horizon: int, path: Path, seed: int) -> None:
    """One episode of the agent without action noise, as a GIF, or as MP4 where imageio's encoder is installed."""
    observation, _ = env.reset(seed=seed)
    frames = [_frame(env)]
    for _ in range(horizon):
        observation, _, terminated, truncated, _ = env.step(agent.act(observation))
        frames.append(_frame(env))
        if terminated or truncated:
            break
    env.close()
    try:
        if path.suffix == ".gif":
            from PIL import Image

            pictures = [Image.fromarray(frame) for frame in frames]
            pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=50, loop=0)
        else:
            import imageio.v3 as imageio

            imageio.imwrite(path, np.stack(frames), fps=20)
    except ImportError:
        raise ConfigError(
            f"--video = {path}; its writer is not installed; pip install 'metarl-toolkit[video]'"
        ) from None
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error}") from None


def _frame(env: gymnasium.Env) -> np.ndarray:
    picture = env.render()
    if not isinstance(picture, np.ndarray):
        raise FamilyError(f"--video: the environment renders {type(picture).__name__}; expected an RGB array")
    return picture
