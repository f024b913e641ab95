"""Video of one episode of a policy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from metarl.core.errors import ConfigError, FamilyError, RunError


def film(act: Callable[[Any], Any], env: gymnasium.Env, horizon: int, path: Path, seed: int) -> None:
    """Write a video of one episode with actions `act(observation)`: a GIF, or MP4 if imageio's encoder is installed.

    Args:
        act: Returns the action for an observation.
        env: An environment that renders RGB arrays; it is closed afterwards.
        horizon: Steps after which the episode is truncated.
        path: File to write, .gif or .mp4.
        seed: Seed of the environment.

    Raises:
        ConfigError: The writer of this kind of file is not installed.
        FamilyError: The environment does not render RGB arrays.
        RunError: The file cannot be written.
    """
    observation, _ = env.reset(seed=seed)
    frames = [_frame(env)]
    for _ in range(horizon):
        observation, _, terminated, truncated, _ = env.step(act(observation))
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
