"""Command lines of the few-shot benchmarks, and small data for them."""

import io
import zipfile

import numpy as np
from PIL import Image

from benchmarks.fewshot.cli import main
from tests.helpers.cli import run_main

DRAWINGS = 6
CHARACTERS = {"images_background": {"Greek": 6, "Latin": 5, "Runes": 4}, "images_evaluation": {"Tengwar": 5}}

TINY = "--iterations 3 --meta-batch-size 2 --validation-tasks 3 --checkpoint-every 2"
IMAGES = "--ways 2 --train-ways 3 --filters 4 --queries 2 --test-queries 2 --data {data}"


def fewshot(line, **names):
    """Run a command line of `python -m benchmarks.fewshot`."""
    return run_main(main, line, **names)


def drawing(number):
    """A black picture on white that differs for every number: its bits, in blocks of the left half."""
    pixels = np.full((105, 105), 255, np.uint8)
    for bit in range(12):
        if number >> bit & 1:
            row, column = divmod(bit, 3)
            pixels[5 + 25 * row : 25 + 25 * row, 5 + 16 * column : 16 + 16 * column] = 0
    return Image.fromarray(pixels)


def write_archives(place):
    """Write small versions of Omniglot's two archives."""
    number = 0
    for part, alphabets in CHARACTERS.items():
        with zipfile.ZipFile(place / f"{part}.zip", "w") as archive:
            for alphabet, characters in alphabets.items():
                for character in range(characters):
                    for copy in range(DRAWINGS):
                        number += 1
                        data = io.BytesIO()
                        drawing(number).save(data, "PNG")
                        name = f"{part}/{alphabet}/character{character + 1:02}/{number:04}_{copy + 1:02}.png"
                        archive.writestr(name, data.getvalue())
