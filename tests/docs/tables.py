"""Tables of the pages and the JSON files that they are made of: `python -m tests.docs.tables` writes the pages anew.

A file docs/tables/NAME.json is what a command of `benchmarks.results` wrote. It holds the command and the commit of the
code. Its table stands on a page below the line `<!-- table NAME -->`.
"""

import json
import re
from pathlib import Path

from benchmarks.results import compare_methods, finn17_navigation2d, in_context
from benchmarks.results.methods import SUITES

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "docs" / "tables"
TABLE = re.compile(r"<!-- table ([\w-]+) -->\n\n((?:\|.*\n)*)")


def rendered(path):
    """The Markdown of a file's table, by the script that its command names."""
    result = json.loads(path.read_text())
    script = re.match(r"python -m benchmarks\.results ([\w-]+)", result["command"])[1]
    if script == "compare-methods":
        return compare_methods.markdown(result, SUITES[result["family"]].published) + "\n"
    if script == "finn17-navigation2d":
        return finn17_navigation2d.markdown(result) + "\n"
    assert script in ("cheetah-memory", "duan16", "varibad-gridnav"), result["command"]
    return in_context.markdown(result) + "\n"


def files():
    """All files by name."""
    return {path.stem: path for path in sorted(PLACE.glob("*.json"))}


def page_with_tables(text):
    """The text of a page with every table as its file has it."""
    return TABLE.sub(lambda found: f"<!-- table {found[1]} -->\n\n{rendered(files()[found[1]])}", text)


if __name__ == "__main__":
    for page in sorted((ROOT / "docs").glob("*.md")):
        page.write_text(page_with_tables(page.read_text()))
