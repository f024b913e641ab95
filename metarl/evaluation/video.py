"""Video of one episode of a policy."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from metarl.core.errors import ConfigError, FamilyError, MetarlError, RunError, in_words
from metarl.families.family import TaskFamily
from metarl.families.tasks import Task


def choose_renderer() -> None:
    """Let MuJoCo render without a screen, by EGL or OSMesa, whichever is installed; call it before mujoco is imported.

    A choice of the user, in the environment variable MUJOCO_GL, and a screen are left alone.
    """
    screen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if "MUJOCO_GL" in os.environ or screen or "mujoco" in sys.modules or not sys.platform.startswith("linux"):
        return
    found = "egl" if _has_egl_device() else "osmesa" if ctypes.util.find_library("OSMesa") else None
    if found is not None:
        os.environ["MUJOCO_GL"] = found


def _has_egl_device() -> bool:
    """Whether EGL is installed and finds a device, which may be a processor."""
    library = ctypes.util.find_library("EGL")
    if library is None:
        return False
    try:
        egl = ctypes.CDLL(library)
        egl.eglGetProcAddress.restype = ctypes.c_void_p
        address = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
        if not address:
            return False
        query = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))(address)
        devices = ctypes.c_int(0)
        return bool(query(0, None, ctypes.byref(devices))) and devices.value > 0
    except (OSError, AttributeError):
        return False


def filming_env(family: TaskFamily, task: Task, path: Path, seed: int) -> gymnasium.Env:
    """An environment that `film` can film: its first frame has been rendered, and there is a writer for the file.

    Args:
        family: The family.
        task: The task.
        path: The file that is to be written.
        seed: Seed of the environment.

    Raises:
        ConfigError: The writer of this kind of file is not installed.
        FamilyError: The environment cannot be made to render, or does not render RGB arrays.
    """
    writer = "PIL" if path.suffix == ".gif" else "imageio_ffmpeg"
    if find_spec(writer) is None:
        raise _no_writer(path)
    try:
        env = family.make(task, render_mode="rgb_array")
        env.reset(seed=seed)
        _frame(env)
    except MetarlError as error:
        advice = "" if error.__cause__ is None else f"; {_advice(error.__cause__)}"
        raise FamilyError(f"--video: {str(error).removeprefix('--video: ')}{advice}") from error
    except Exception as error:
        raise FamilyError(f"--video: family '{family.name}': {in_words(error)}; {_advice(error)}") from error
    return env


def _advice(error: BaseException) -> str:
    text = f"{type(error).__module__}: {error}"
    if "render_mode" in text:
        return "let what makes the environment take render_mode, and pass it on"
    if any(word in text for word in ("OpenGL", "EGL", "OSMesa", "GLFW", "mujoco")):
        given = os.environ.get("MUJOCO_GL")
        tried = f"MUJOCO_GL is {given}" if given else "neither was found"
        return f"MuJoCo renders without a screen by EGL (libegl1) or OSMesa (libosmesa6): {tried}"
    return "leave out --video, or correct what it renders"


def _no_writer(path: Path) -> ConfigError:
    return ConfigError(f"--video = {path}; its writer is not installed; pip install 'metarl-toolkit[video]'")


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
        raise _no_writer(path) from None
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error}") from None


def _frame(env: gymnasium.Env) -> np.ndarray:
    picture = env.render()
    if not isinstance(picture, np.ndarray):
        raise FamilyError(f"--video: the environment renders {type(picture).__name__}; expected an RGB array")
    return picture
