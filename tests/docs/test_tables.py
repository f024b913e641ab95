"""Tables of results stand on the pages as their commands wrote them."""

import json
import re

import pytest

from tests.docs.tables import ROOT, TABLE, files, page_with_tables

PAGES = {page: page.read_text() for page in sorted((ROOT / "docs").glob("*.md"))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_those_of_their_files(page):
    text = PAGES[page]
    assert page_with_tables(text) == text, "run python -m tests.docs.tables"


def test_every_file_has_a_table_below_its_command():
    found = [(name, text, place) for text in PAGES.values() for name, place in tables_of(text)]
    assert sorted(name for name, _, _ in found) == sorted(files())
    for name, text, place in found:
        command = json.loads(files()[name].read_text())["command"]
        assert command in text[:place], f"{name}: {command}"


def tables_of(text):
    return [(match[1], match.start()) for match in TABLE.finditer(text)]


def test_every_file_says_by_which_code_it_was_made():
    for name, path in files().items():
        result = json.loads(path.read_text())
        assert re.fullmatch(r"[0-9a-f]{40}", result["commit"]), name
        assert path.stat().st_size < 100_000, name


def test_a_changed_figure_is_seen():
    for name in files():
        page = f"<!-- table {name} -->\n\n| method | 1.0 |\n"
        assert page_with_tables(page) != page
        assert page_with_tables(page_with_tables(page)) == page_with_tables(page)
