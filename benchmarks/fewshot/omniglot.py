"""Omniglot (Lake et al. 2015) from its two official archives: 1,623 characters, 20 drawings of each, 28 x 28."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from benchmarks.fewshot.images import ImageSet, cached
from metarl.core.errors import ConfigError

SIZE = 28
ARCHIVES = ("images_background.zip", "images_evaluation.zip")
EXPECTED = "expected a folder with Omniglot's two archives, images_background.zip and images_evaluation.zip"
TRAINING, VALIDATION, ALL = 1200, 100, 1623
"""Training characters of Vinyals et al., those of them for validation (Finn et al. 2017), and all characters."""


def load(data: str | None) -> ImageSet:
    """The drawings, ink as 255, from the cache; raises ConfigError where an archive is missing or damaged."""
    if data is None:
        raise ConfigError(f"--data is missing, and METARL_OMNIGLOT is not set; {EXPECTED}")
    paths = [Path(data) / name for name in ARCHIVES]
    for path in paths:
        if not path.is_file():
            raise ConfigError(f"--data = {data}: {path.name} is missing; {EXPECTED}")
    images, names = cached(f"omniglot-{SIZE}", paths, lambda: _decoded(paths))
    characters = sorted(set(names))
    sizes = np.bincount([characters.index(name) for name in names])
    return ImageSet(images, sizes, characters, rotations=4)


def _decoded(paths: list[Path]) -> tuple[np.ndarray, list[str]]:
    """All drawings, sorted by character, and the character of each."""
    found: list[tuple[str, np.ndarray]] = []
    for path in paths:
        try:
            with zipfile.ZipFile(path) as archive:
                for name in sorted(archive.namelist()):
                    parts = name.split("/")
                    if len(parts) == 4 and name.endswith(".png") and not name.startswith("__"):
                        found.append(("/".join(parts[:3]), _pixels(archive.read(name))))
        except (zipfile.BadZipFile, UnidentifiedImageError, OSError, EOFError, SyntaxError) as error:
            raise ConfigError(f"{path}: damaged, or not the archive: {error}; {EXPECTED}") from None
    if not found:
        raise ConfigError(f"{paths[0]}: holds no drawing of the form part/alphabet/character/drawing.png; {EXPECTED}")
    found.sort(key=lambda pair: pair[0])
    return np.stack([pixels for _, pixels in found])[:, None], [name for name, _ in found]


def _pixels(data: bytes) -> np.ndarray:
    picture = Image.open(io.BytesIO(data)).convert("L").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return 255 - np.asarray(picture)


def splits(images: ImageSet, kind: Literal["characters", "alphabets"], seed: int) -> dict[str, np.ndarray]:
    """Class numbers of each split, all rotations included.

    Args:
        images: The drawings.
        kind: `characters`: 1,100 random characters for training, 100 for validation and 423 for test (in proportion
            where there are fewer). `alphabets`: the evaluation archive for test, a tenth of the background's alphabets
            for validation, the others for training.
        seed: Chooses the characters, or the alphabets of validation.
    """
    rng = np.random.default_rng(seed)
    n = len(images.names)
    if kind == "characters":
        order = rng.permutation(n)
        training, validation = round(n * TRAINING / ALL), max(1, round(n * VALIDATION / ALL))
        parts = order[: training - validation], order[training - validation : training], order[training:]
    else:
        alphabet = np.array([name.rsplit("/", 1)[0] for name in images.names])
        background = np.unique([name for name in alphabet if name.startswith("images_background")])
        held_out = rng.permutation(background)[: max(1, len(background) // 10)]
        validates, trains = np.isin(alphabet, held_out), np.isin(alphabet, background)
        parts = np.flatnonzero(trains & ~validates), np.flatnonzero(validates), np.flatnonzero(~trains)
    turns = np.arange(images.rotations)
    numbers = [(np.sort(part)[:, None] * images.rotations + turns).reshape(-1) for part in parts]
    return dict(zip(("meta-train", "meta-validation", "meta-test"), numbers, strict=True))
