"""Few-shot data from a folder of class folders with PNG or JPEG files, such as miniImageNet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from benchmarks.fewshot.images import ImageSet, cached
from metarl.core.errors import ConfigError

PARTS = {"train": "meta-train", "val": "meta-validation", "test": "meta-test"}
SUFFIXES = (".png", ".jpg", ".jpeg")
SHARES = (0.64, 0.80)
"""Shares of the classes, for a folder without splits: training up to the first, validation up to the second."""


def load(data: str | None, *, size: int, colour: bool) -> ImageSet:
    """The images scaled to size x size; raises ConfigError where there are none or one cannot be read."""
    if data is None:
        raise ConfigError("--data is missing; expected a folder of class folders")
    root = Path(data)
    files = {name: sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
             for name, folder in _class_folders(root).items()}  # fmt: skip
    if not any(files.values()):
        raise ConfigError(
            f"--data = {data}: no images; expected class folders of PNG or JPEG files, "
            "in folders train, val and test or not"
        )
    for name, paths in files.items():
        if not paths:
            raise ConfigError(f"--data = {data}: class folder {name} is empty; expected PNG or JPEG files")
    every = [path for paths in files.values() for path in paths]
    images, _ = cached(
        f"images-{size}-{'colour' if colour else 'grey'}",
        every,
        lambda: (np.stack([_pixels(path, size, colour) for path in every]), list(files)),
    )
    return ImageSet(images, np.array([len(paths) for paths in files.values()]), list(files))


def _class_folders(root: Path) -> dict[str, Path]:
    """Class folders by name; the name begins with the split's folder where there are splits."""
    if not root.is_dir():
        raise ConfigError(f"--data = {root}: not a folder; expected one with class folders")
    parts = [part for part in PARTS if (root / part).is_dir()]
    if parts and len(parts) < len(PARTS):
        raise ConfigError(f"--data = {root}: has {', '.join(parts)}; expected all of {', '.join(PARTS)}, or none")
    folders = [folder for part in parts for folder in (root / part).iterdir()] if parts else list(root.iterdir())
    return {str(folder.relative_to(root)): folder for folder in sorted(folders) if folder.is_dir()}


def _pixels(path: Path, size: int, colour: bool) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            scaled = picture.convert("RGB" if colour else "L").resize((size, size), Image.Resampling.LANCZOS)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ConfigError(f"{path}: not a readable image: {error}") from None
    pixels = np.asarray(scaled)
    return pixels.transpose(2, 0, 1) if colour else pixels[None]


def splits(images: ImageSet, seed: int) -> dict[str, np.ndarray]:
    """Class numbers of each split: the folder's own splits, or 64, 16 and 20 % at random."""
    part_of = np.array([name.split("/")[0] if "/" in name else "" for name in images.names])
    if (part_of != "").all():
        return {split: np.flatnonzero(part_of == part) for part, split in PARTS.items()}
    order = np.random.default_rng(seed).permutation(len(images.names))
    bounds = [round(share * len(order)) for share in SHARES]
    return dict(zip(PARTS.values(), (np.sort(part) for part in np.split(order, bounds)), strict=True))
