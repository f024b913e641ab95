"""The pages of docs/reference, as they follow from the doors; `python -m tests.docs.reference` writes them."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "docs" / "reference"
NOTE = (
    "Public names and their modules. The site shows signature and docstring of each in place of the lines that begin "
    "with `:::`."
)


def doors():
    """Each package's `__init__.py` that exports names of other modules, by the package's name; the face first."""
    found = [ROOT / "metarl" / "__init__.py", *sorted((ROOT / "metarl").glob("*/__init__.py"))]
    return {".".join(path.parent.relative_to(ROOT).parts): path for path in found}


def homes(path):
    """The names that a door exports, by the module that defines them; modules and names in alphabetical order."""
    tree = ast.parse(path.read_text())
    guarded = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for block in guarded for node in block.body if isinstance(node, ast.ImportFrom)]
    found = {}
    for node in imports:
        found.setdefault(node.module, []).extend(alias.asname or alias.name for alias in node.names)
    return {module: sorted(names) for module, names in sorted(found.items())}


def documented(module):
    """The names that a module defines by themselves; one of several constants on a line has no page of its own."""
    tree = ast.parse((ROOT / module.replace(".", "/")).with_suffix(".py").read_text())
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        for target in getattr(node, "targets", None) or [getattr(node, "target", None)]:
            if isinstance(target, ast.Name):
                found.add(target.id)
    return found


def page(package, path):
    """The text of a door's page."""
    summary = ast.get_docstring(ast.parse(path.read_text())).split("\n")[0]
    lines, links = [f"# {package}", "", summary, "", NOTE], []
    for module, names in homes(path).items():
        for name in sorted(documented(module).intersection(names)):
            room = module.split(".")[1]
            if package == "metarl" and (ROOT / "metarl" / room).is_dir():
                links.append(f"- [{name}]({room}.md#{module}.{name}), from `metarl.{room}`")
            else:
                lines += ["", f"::: {module}.{name}"]
    if links:
        lines += ["", "These names of the rooms can be imported from `metarl` as well:", "", *links]
    return "\n".join(lines) + "\n"


def pages():
    """Every page of the reference but its index, by file name."""
    return {f"{package.split('.')[-1]}.md": page(package, path) for package, path in doors().items()}


if __name__ == "__main__":
    for name, text in pages().items():
        (PLACE / name).write_text(text)
