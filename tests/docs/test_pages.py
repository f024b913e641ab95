"""The pages agree with each other, with the code, and with the words that the project uses."""

import ast
import importlib
import inspect
import json
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import metarl
from metarl.training.start import train
from tests.docs.reference import PLACE, pages

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS]
BY_NAME = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)

HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")

RETIRED = {
    r"\blanes?\b": "sub-environment",
    r"\bpromises?\b": "check or guarantee",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bwanted\b": "no target of the project's own stands in the docs",
    r"\bmissed\b": "no target of the project's own stands in the docs",
    r"\bworkloads?\b": "setup",
    r"\bmetarl\.(outer|inner|problem|timing|tasks|checking|types|builder|randomness|reductions)\b": "a room's door",
    r"\bbenchmarks\.(rl|throughput|faults|algorithm_costs|generic_lanes|scaling)\b": "benchmarks.speed or results",
}
"""Words that left the docs, and what stands in their place."""


def headings(page):
    return HEADING.findall(FENCED.sub("", page.read_text()))


def anchor(heading):
    """The fragment that GitHub and the site give to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@BY_NAME
def test_no_heading_stands_twice_on_a_page(page):
    assert [heading for heading, times in Counter(headings(page)).items() if times > 1] == []


def test_no_paragraph_stands_twice_in_the_docs():
    found = Counter(
        block.strip()
        for page in DOCS
        for block in FENCED.sub("", page.read_text()).split("\n\n")
        if len(block.strip()) > 200
    )
    assert [block[:80] for block, times in found.items() if times > 1] == []


@BY_NAME
def test_links_lead_somewhere(page):
    for target in LINK.findall(FENCED.sub("", page.read_text())):
        if target.startswith("http"):
            continue
        path, _, fragment = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.is_file(), target
        if fragment:
            assert fragment in {anchor(heading) for heading in headings(place)}, target


@BY_NAME
def test_retired_words_stay_out(page):
    for pattern, instead in RETIRED.items():
        found = re.search(pattern, page.read_text(), re.IGNORECASE)
        assert found is None, f"{found[0]}: {instead}"


def test_every_page_is_on_the_site_and_in_the_index():
    site, index = (ROOT / "mkdocs.yml").read_text(), (ROOT / "docs" / "index.md").read_text()
    for page in DOCS:
        assert f": {page.name}\n" in site, page.name
        assert page.name == "index.md" or f"]({page.name})" in index, page.name


def test_files_and_modules_that_the_pages_name_exist():
    named = re.compile(r"`?\b((?:metarl|envs|benchmarks|tests|docs|examples)/[\w/.-]+\.(?:py|md|toml))\b")
    for page in PAGES:
        for path in named.findall(page.read_text()):
            assert (ROOT / path).is_file(), f"{page.name}: {path}"
    for page in PAGES:
        for module, name in re.findall(r"from (metarl[\w.]*) import (\w+)", page.read_text()):
            assert hasattr(importlib.import_module(module), name), f"{page.name}: {module}.{name}"


def test_the_reference_has_every_public_name():
    for name, text in pages().items():
        assert (PLACE / name).read_text() == text, f"docs/reference/{name}: run python -m tests.docs.reference"
        assert f": reference/{name}\n" in (ROOT / "mkdocs.yml").read_text()


def rooms_on_the_page():
    """The table of rooms: exports and permitted imports by room."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|([^|]*)\|$", text, re.MULTILINE)
    return {room: (re.findall(r"`(\w+)`", exports), re.findall(r"`(\w+)`", allowed)) for room, exports, allowed in rows}


def imported_rooms(room):
    """Rooms that the files of a room import, deferred imports included; "" is the root. The version is no import."""
    found = set()
    for path in (ROOT / "metarl" / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "metarl":
                if node.module == "metarl" and [alias.name for alias in node.names] == ["__version__"]:
                    continue
                name = [*node.module.split("."), ""][1]
                found.add(name if (ROOT / "metarl" / name).is_dir() else "")
    return found - {room}


def test_the_table_of_rooms_is_true():
    table = rooms_on_the_page()
    assert set(table) == {path.parent.name for path in (ROOT / "metarl").glob("*/__init__.py")}
    for room, (exports, allowed) in table.items():
        assert set(exports) <= set(importlib.import_module(f"metarl.{room}").__all__), room
        assert imported_rooms(room) == set(allowed), room


def test_functions_of_the_data_flow_are_in_the_files_beside_them():
    """A line of the flow names functions on the left, and on the right the files that define or call them."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    flow = text[text.index("Training.iterate") : text.index("Step k collects data")]
    checked = 0
    for line in flow.splitlines():
        files = re.findall(r"metarl/[\w/]+\.py", line)
        source = "".join((ROOT / path).read_text() for path in files)
        called = re.findall(r"\b\w+_\w+\b|\b(?:replay|accept|record)\b", line.partition("metarl/")[0]) if files else []
        for name in called:
            assert re.search(rf"\b{name}\b", source), f"{name}: not in {' or '.join(files)}"
            checked += 1
    assert checked > 10


def test_what_a_run_writes_is_on_the_page(tmp_path, tiny_config):
    train("maml-trpo", tiny_config, tmp_path / "run")
    page = (ROOT / "docs" / "files.md").read_text()
    named = set(re.findall(r"`(\w+)`", page))
    manifest = json.loads(sorted((tmp_path / "run" / "checkpoints").glob("*/manifest.json"))[-1].read_text())
    metrics = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert set(manifest) | set(metrics) | set(manifest["meta_validation"]) <= named | {"gradient_norm", "tasks"}
    assert "unset" in tomllib.loads((tmp_path / "run" / "config.toml").read_text())


def test_changelog_and_citation_agree_on_the_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    changes = (ROOT / "CHANGELOG.md").read_text()
    version, state = re.search(r"^## ([\d.]+)(?: \((.*)\))?$", changes, re.MULTILINE).groups()
    citation = (ROOT / "CITATION.cff").read_text()
    assert version == project["version"]
    assert f'version: "{version}{f", {state}" if state == "unreleased" else ""}"' in citation
    assert ("date-released" in citation) == (state != "unreleased")


def test_pages_show_how_a_family_and_a_callback_are_given():
    text = "".join(page.read_text() for page in PAGES)
    for function, arguments in ((metarl.train, ("family", "report")), (metarl.resume, ("family",))):
        assert set(arguments) <= set(inspect.signature(function).parameters)
        for name in arguments:
            assert re.search(rf"metarl\.{function.__name__}\([^)]*\b{name}=", text), (function.__name__, name)
