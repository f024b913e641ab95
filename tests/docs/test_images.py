"""The pages' images exist, say in words what they show, and are small."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "docs" / "images"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MARKDOWN = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
TAG = re.compile(r"<(?:img|source)\b[^>]*>")
LARGEST = {".svg": 150_000, ".png": 150_000, ".gif": 700_000}
FEWEST_LETTERS = 40
"""Of an alternative text: a name is no description."""


def attributes(tag):
    return dict(re.findall(r'(\w+)="([^"]*)"', tag))


def images_of(page):
    """Place and alternative text of each image; None as the text of a source, which has that of its image."""
    text = page.read_text()
    found = [(place, words) for words, place in MARKDOWN.findall(text)]
    for tag in TAG.findall(text):
        named = attributes(tag)
        found.append((named.get("src") or named["srcset"], None if "srcset" in named else named.get("alt", "")))
    return [(page.parent / place, words) for place, words in found]


IMAGES = [(page.name, place, words) for page in PAGES for place, words in images_of(page)]


@pytest.mark.parametrize(("page", "place", "words"), IMAGES, ids=[f"{page}:{place.name}" for page, place, _ in IMAGES])
def test_an_image_exists_is_small_and_is_described(page, place, words):
    assert place.resolve().parent == PLACE
    assert place.stat().st_size <= LARGEST[place.suffix]
    assert words is None or len(words) >= FEWEST_LETTERS


def test_every_image_is_on_the_first_page_and_none_is_left_over():
    used = {place.resolve() for page, place, _ in IMAGES if page == "README.md"}
    assert used == set(PLACE.iterdir())
    assert {place.resolve() for page, place, _ in IMAGES if page == "index.md"} <= used


def test_pictures_of_the_first_page_have_a_dark_form():
    text = (ROOT / "README.md").read_text()
    for picture in re.findall(r"<picture>(.*?)</picture>", text, re.DOTALL):
        source, image = (attributes(tag) for tag in TAG.findall(picture))
        light = Path(image["src"])
        assert Path(source["srcset"]) == light.with_name(f"{light.stem}-dark{light.suffix}")
        assert "prefers-color-scheme: dark" in source["media"]
    assert text.count("<picture>") == text.count("<img")


def test_the_command_of_the_pictures_is_beside_them():
    for page in (ROOT / "README.md", ROOT / "docs" / "index.md"):
        assert "`python -m benchmarks.pictures`" in page.read_text()
