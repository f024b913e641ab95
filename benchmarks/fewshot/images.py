"""Images in classes, few-shot tasks made of them, and a cache of decoded images."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces

from benchmarks.fewshot.supervised import Examples, draw_seeds
from metarl.core.errors import ConfigError, RunError
from metarl.core.prng import fold, uniform
from metarl.families.splits import check_split
from metarl.families.tasks import Tasks


class ImageSet(NamedTuple):
    """Images of all classes, one class after another; `rotations` multiplies the classes."""

    images: np.ndarray
    """uint8 (images, channels, height, width), often a memory-mapped file."""
    sizes: np.ndarray
    """Images of each class."""
    names: list[str]
    rotations: int = 1
    """A class turned by r x 90 degrees, r below this number, is a class of its own: number rotations x class + r."""

    @property
    def classes(self) -> int:
        """Number of classes, rotated ones included."""
        return len(self.sizes) * self.rotations


class ClassSplits:
    """Tasks of `ways` classes of a split, drawn without repetition within the task. Splits share no class."""

    kind = "disjoint"

    def __init__(self, splits: Mapping[str, np.ndarray], ways: int, train_ways: int) -> None:
        self.classes = dict(splits)
        self.ways = {name: train_ways if name == "meta-train" else ways for name in self.classes}
        for name, numbers in self.classes.items():
            if len(numbers) < self.ways[name]:
                raise ConfigError(f"--ways = {self.ways[name]}; expected at most {len(numbers)}, the classes of {name}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the splits."""
        return tuple(self.classes)

    def sample(self, n: int, split: str, rng: np.random.Generator) -> Tasks:
        """Draw n tasks of a split."""
        check_split(split, self.classes)
        classes, ways = self.classes[split], self.ways[split]
        return {
            "classes": np.array([rng.choice(classes, ways, replace=False) for _ in range(n)]),
            "draw": rng.integers(2**31, size=n),
        }


def task_space(images: ImageSet, ways: int) -> spaces.Dict:
    """The classes of a task, in the order of their labels, and the draw of their images."""
    return spaces.Dict(
        {
            "classes": spaces.Box(0, images.classes - 1, (ways,), np.int64),
            "draw": spaces.Box(0, 2**31 - 1, (), np.int64),
        }
    )


def check_shots(images: ImageSet, shots: int, queries: int, option: str = "--queries") -> None:
    """Raise ConfigError where a class has too few images to keep support and query apart."""
    smallest = int(images.sizes.argmin())
    if shots + queries > images.sizes[smallest]:
        raise ConfigError(
            f"--shots = {shots} and {option} = {queries}; expected together at most {images.sizes[smallest]}, "
            f"the images of {images.names[smallest]}"
        )


def draw(tasks: Tasks, images: ImageSet, *, shots: int, queries: int, dtype: torch.dtype) -> Examples:
    """Support and query images of every task, pixels from 0 to 1, way by way, on the CPU.

    The images of a class are shuffled by the task's own draw; the first `shots` are support, the next `queries` query.
    """
    classes = np.asarray(tasks["classes"])
    n, ways = classes.shape
    starts = np.concatenate([[0], images.sizes.cumsum()[:-1]])
    base, turns = np.divmod(classes, images.rotations)
    # A uniform number for each image of the largest class; numbers beyond a smaller class are sorted last.
    largest = int(images.sizes.max())
    seeds = fold(draw_seeds(tasks)[:, None], torch.arange(ways))
    keys = uniform(fold(seeds[..., None], torch.arange(largest))).numpy()
    keys[np.arange(largest) >= images.sizes[base][..., None]] = 2
    chosen = starts[base][..., None] + keys.argsort(-1)[..., : shots + queries]
    pixels = torch.from_numpy(np.asarray(images.images[chosen]))
    for turn in range(1, images.rotations):
        which = torch.from_numpy(turns == turn)
        pixels[which] = torch.rot90(pixels[which], turn, (-2, -1))
    pixels = pixels.to(dtype) / 255
    labels = torch.arange(ways)[None, :, None].expand(n, ways, shots + queries)
    return Examples(
        pixels[:, :, :shots].flatten(1, 2),
        labels[:, :, :shots].flatten(1, 2),
        pixels[:, :, shots:].flatten(1, 2),
        labels[:, :, shots:].flatten(1, 2),
    )


def cached(
    name: str, sources: Sequence[Path], decode: Callable[[], tuple[np.ndarray, list[str]]]
) -> tuple[np.ndarray, list[str]]:
    """Images (n, channels, height, width) and the class of each, as `decode` returns them; cached on disk.

    The images are one .npy file that is memory-mapped, the classes a .json file beside it, in $METARL_CACHE (by default
    ~/.cache/metarl). Images are decoded again when the path, size or modification time of a source changes.

    Raises:
        RunError: The cache cannot be written, or is damaged.
    """
    stamps = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in sources]
    digest = hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("METARL_CACHE", Path.home() / ".cache" / "metarl"))
    pixels, labels = folder / f"{name}-{digest}.npy", folder / f"{name}-{digest}.json"
    if not (pixels.is_file() and labels.is_file()):
        images, names = decode()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _replace(pixels, lambda path: np.save(path, images))
            _replace(labels, lambda path: path.write_text(json.dumps(names), encoding="utf-8"))
        except OSError as error:
            raise RunError(
                f"{folder}: cannot be written: {error.strerror}; set METARL_CACHE to another folder"
            ) from None
    try:
        return np.load(pixels, mmap_mode="r", allow_pickle=False), json.loads(labels.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{pixels}: damaged: {error}; delete it to decode again") from None


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a temporary file and rename it, so that two processes can decode at once."""
    staged = path.with_name(f".{os.getpid()}-{path.name}")
    write(staged)
    os.replace(staged, path)
