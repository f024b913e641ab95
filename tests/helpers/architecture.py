"""A model of the repository's Python files (imports, exports, sizes) and the rules that it keeps.

Every rule is a function of a `Repository` that returns one line for each violation.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

ROOM_ORDER = (
    ("core",),
    ("config", "networks", "references", "trials"),
    ("families",),
    ("adaptation",),
    ("rl", "algorithms"),
    ("runs",),
    ("sb3", "deployment", "callbacks"),
    ("training",),
    ("evaluation", "tuning"),
    ("report",),
    ("root",),
)
"""Rooms of metarl from the foundation up; rooms of one level do not know each other."""

LEVEL = {room: level for level, rooms in enumerate(ROOM_ORDER) for room in rooms}

OUTER_UPDATES = ("maml", "maml_trpo", "promp", "reptile", "pretrain", "rl2")
"""Files of the room `algorithms` that have a `meta_step`."""

MOST_FILES = 12
"""Files in a room beside its door."""

MOST_LINES = 400
FEWEST_LINES = 40

FOLDERS = ("metarl", "envs/metarl_envs", "benchmarks", "tests")
"""Where the repository's Python files are."""

MEASURED = ("metarl", "metarl_envs", "benchmarks")
"""Packages whose files have a limited size."""

BESIDE_DOORS = {
    ("metarl.core.imports", "lazy_door"): "makes the doors, so it cannot go through one",
    **{(f"metarl.algorithms.{name}", name): "an outer update is a module, as the registry names it"
       for name in OUTER_UPDATES},
}  # fmt: skip
"""What other rooms take although no door has it, and why: the file that defines it, and the name."""

EVERYWHERE = {("metarl", "__version__"): "the version has one place, which packaging tools read; it imports nothing"}
"""Names that any room may take from above, and why."""

ENVS_MAY_IMPORT = {
    "metarl.core.errors": "the faults that a family reports",
    "metarl.references.reference": "what it says of its optimum and of known policies",
}
"""What families that ship import beside the room `families`, and why."""


@dataclass(frozen=True)
class Import:
    """One name that a file imports, or a whole module where `name` is None."""

    module: str
    name: str | None
    line: int


@dataclass(frozen=True)
class Door:
    """The names of a room's `__init__`, each with the module that defines it."""

    lazy: dict[str, str] = field(default_factory=dict)
    """As `lazy_door` is told."""
    checked: dict[str, str] = field(default_factory=dict)
    """As the block under TYPE_CHECKING imports them."""


class SourceFile:
    """A parsed Python file, at a place relative to the repository's root."""

    def __init__(self, place: str, text: str) -> None:
        self.place = place
        parts = list(Path(place.removeprefix("envs/")).with_suffix("").parts)
        self.is_door = parts[-1] == "__init__"
        self.module = ".".join(parts[:-1] if self.is_door else parts)
        self.lines = len(text.splitlines())
        self.tree = ast.parse(text)

    @property
    def package(self) -> str:
        """The package that relative imports start from."""
        return self.module if self.is_door else self.module.rpartition(".")[0]

    @cached_property
    def imports(self) -> list[Import]:
        """All imports, those within functions and under TYPE_CHECKING included."""
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [Import(alias.name, None, node.lineno) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                if node.level:
                    parts = self.package.split(".")
                    base = ".".join(parts[: len(parts) - node.level + 1])
                    module = f"{base}.{module}".rstrip(".")
                found += [Import(module, alias.name, node.lineno) for alias in node.names]
        return found

    @cached_property
    def door(self) -> Door | None:
        """The exports of a room's `__init__` that calls `lazy_door`; None for other files."""
        tables = [
            node.args[1]
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "lazy_door"
        ]
        if not self.is_door or not tables:
            return None
        lazy = {name: module for module, names in ast.literal_eval(tables[0]).items() for name in names}
        checked = {
            alias.asname or alias.name: node.module or ""
            for block in ast.walk(self.tree)
            if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
            for node in block.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        return Door(lazy, checked)

    @cached_property
    def defined(self) -> set[str]:
        """Names that the file itself defines at its top level."""
        found = set()
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
        return found

    def __repr__(self) -> str:
        return self.place


class Repository:
    """The Python files of a repository, and the packages that its pyproject.toml lists."""

    def __init__(self, files: Iterable[SourceFile], packages: Iterable[str]) -> None:
        self.files = sorted(files, key=lambda file: file.place)
        self.packages = set(packages)
        self.by_module = {file.module: file for file in self.files}

    @staticmethod
    def read(root: Path) -> Repository:
        """The repository below a folder."""
        project = tomllib.loads((root / "pyproject.toml").read_text())
        paths = [path for folder in FOLDERS for path in (root / folder).rglob("*.py")]
        files = [SourceFile(path.relative_to(root).as_posix(), path.read_text()) for path in paths]
        return Repository(files, project["tool"]["setuptools"]["packages"])

    def planted(self, texts: Mapping[str, str]) -> Repository:
        """A copy with the given texts at the given places, added or in place of what is there."""
        kept = [file for file in self.files if file.place not in texts]
        return Repository([*kept, *(SourceFile(place, text) for place, text in texts.items())], self.packages)

    def of(self, *packages: str) -> list[SourceFile]:
        """Files of the given top-level packages."""
        return [file for file in self.files if file.module.split(".")[0] in packages]

    def target(self, found: Import) -> SourceFile | None:
        """The file that an import needs: a submodule, or for a name of a door the file that defines it."""
        if found.name is not None and f"{found.module}.{found.name}" in self.by_module:
            return self.by_module[f"{found.module}.{found.name}"]
        file = self.by_module.get(found.module)
        if file is not None and file.door is not None and found.name in file.door.lazy:
            return self.by_module.get(file.door.lazy[found.name])
        return file

    def targets(self, file: SourceFile) -> Iterator[tuple[Import, SourceFile]]:
        """The repository's own files that a file imports; a door's own exports are no imports of it."""
        for found in file.imports:
            there = self.target(found)
            if there is None or there is file or (there.module, found.name) in EVERYWHERE:
                continue
            if file.door is not None and found.name in file.door.lazy:
                continue
            yield found, there

    @cached_property
    def rooms(self) -> list[str]:
        """Folders of metarl with an `__init__`."""
        return sorted({f.module.split(".")[1] for f in self.of("metarl") if f.is_door and f.module.count(".") == 1})

    def room_of(self, file: SourceFile) -> str:
        """The room of a file of metarl; `root` for those in no folder."""
        parts = file.module.split(".")
        return parts[1] if len(parts) > 1 and parts[1] in self.rooms else "root"


def known_rooms(repository: Repository) -> list[str]:
    """Every folder of metarl has a place in the order of rooms, and the other way round."""
    missing = set(repository.rooms) ^ (set(LEVEL) - {"root"})
    return [f"metarl/{room}: is in ROOM_ORDER or a folder, but not both" for room in sorted(missing)]


def upward_imports(repository: Repository) -> list[str]:
    """Imports of metarl that go up the order of rooms, across within a level, or out of metarl."""
    lines = []
    for file in repository.of("metarl"):
        here = repository.room_of(file)
        for found, there in repository.targets(file):
            if not there.module.startswith("metarl.") and there.module != "metarl":
                lines.append(f"{file}:{found.line}: metarl imports {there.module}")
                continue
            room = repository.room_of(there)
            if room != here and LEVEL[room] >= LEVEL[here]:
                lines.append(f"{file}:{found.line}: room {here} imports {there.module} of room {room}")
    return lines


def imports_of_algorithms(repository: Repository) -> list[str]:
    """Files of `algorithms` that import an outer update, or a room that knows where data comes from or goes to."""
    lines = []
    for file in repository.of("metarl"):
        if repository.room_of(file) != "algorithms":
            continue
        for found, there in repository.targets(file):
            if repository.room_of(there) in ("rl", "sb3", "runs"):
                lines.append(f"{file}:{found.line}: an algorithm imports {there.module}")
            elif there.module in {f"metarl.algorithms.{name}" for name in OUTER_UPDATES}:
                lines.append(f"{file}:{found.line}: {file.module} imports the outer update {there.module}")
    return lines


def outer_updates(repository: Repository) -> list[str]:
    """OUTER_UPDATES are the files of `algorithms` with a `meta_step`."""
    found = {
        file.module.rpartition(".")[2]
        for file in repository.of("metarl")
        if repository.room_of(file) == "algorithms" and "meta_step" in file.defined
    }
    return [f"metarl/algorithms/{name}.py: missing in OUTER_UPDATES, or without a meta_step" for name in
            sorted(found ^ set(OUTER_UPDATES))]  # fmt: skip


def imports_of_envs(repository: Repository) -> list[str]:
    """Families that ship use what a plug-in may use: the room `families` through its door, and errors."""
    lines = []
    for file in repository.of("metarl_envs"):
        for found, there in repository.targets(file):
            allowed = there.module.startswith(("metarl_envs", "metarl.families")) or there.module in ENVS_MAY_IMPORT
            if not allowed:
                lines.append(f"{file}:{found.line}: a family imports {there.module}")
    return lines


def imports_of_benchmarks(repository: Repository) -> list[str]:
    """Benchmarks do not need the tests."""
    return [
        f"{file}:{found.line}: a benchmark imports {there.module}"
        for file in repository.of("benchmarks")
        for found, there in repository.targets(file)
        if there.module.split(".")[0] == "tests"
    ]


def circles(repository: Repository) -> list[str]:
    """Circles of imports between files, deferred ones and those for type checkers included."""
    edges = {file.module: sorted({there.module for _, there in repository.targets(file)}) for file in repository.files}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    lines: list[str] = []

    def visit(module: str) -> None:
        """Tarjan's algorithm: strongly connected components of more than one file are circles."""
        index[module] = low[module] = len(index)
        stack.append(module)
        for there in edges[module]:
            if there not in index:
                visit(there)
                low[module] = min(low[module], low[there])
            elif there in stack:
                low[module] = min(low[module], index[there])
        if low[module] == index[module]:
            component = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(component) > 1:
                lines.append(f"circle of imports: {', '.join(sorted(component))}")

    for module in edges:
        if module not in index:
            visit(module)
    return lines


def private_imports(repository: Repository) -> list[str]:
    """Names that are taken from another room although its door does not have them, or private ones."""
    lines = []
    for file in repository.of("metarl", "metarl_envs", "benchmarks"):
        for found, there in repository.targets(file):
            outside = not there.module.startswith("metarl") or there.module.startswith("metarl_envs")
            if outside:
                if found.name is not None and found.name.startswith("_") and there.package != file.package:
                    lines.append(f"{file}:{found.line}: takes the private name {found.name} of {there.module}")
                continue
            room = repository.room_of(there)
            same = file.module.startswith("metarl.") and repository.room_of(file) == room
            if same or room == "root":
                continue
            door = repository.by_module[f"metarl.{room}"].door
            inner = repository.by_module.get(there.package)
            exported = set(door.lazy if door else ()) | set(inner.door.lazy if inner and inner.door else ())
            if found.name not in exported and (there.module, found.name) not in BESIDE_DOORS:
                named = found.name or "the whole module"
                lines.append(f"{file}:{found.line}: takes {named} of {there.module}, which no door of {room} has")
    return lines


def doors(repository: Repository) -> list[str]:
    """Doors whose two lists of names differ, or that name a submodule or what its file does not define."""
    lines = []
    for file in repository.files:
        if file.door is None:
            continue
        for name in sorted(file.door.lazy.keys() | file.door.checked.keys()):
            lazy, checked = file.door.lazy.get(name), file.door.checked.get(name)
            if lazy != checked:
                lines.append(f"{file}: {name} is of {lazy} in lazy_door and of {checked} under TYPE_CHECKING")
            if f"{file.module}.{name}" in repository.by_module:
                lines.append(f"{file}: {name} is the name of a submodule")
            if name.startswith("_"):
                lines.append(f"{file}: {name} is private")
            defining = repository.by_module.get(lazy or "")
            if defining is None or name not in defining.defined:
                lines.append(f"{file}: {name} is not defined in {lazy}")
    return lines


def rooms_without_door(repository: Repository) -> list[str]:
    """Rooms whose `__init__` is not a lazy door."""
    return [f"metarl/{room}/__init__.py: is no lazy_door" for room in repository.rooms
            if repository.by_module[f"metarl.{room}"].door is None]  # fmt: skip


def crowded_rooms(repository: Repository) -> list[str]:
    """Folders of metarl with too many files."""
    lines = []
    for door in repository.of("metarl"):
        if not door.is_door or door.module == "metarl":
            continue
        files = [file for file in repository.files if file.package == door.module and not file.is_door]
        if len(files) > MOST_FILES:
            lines.append(f"{door.module}: {len(files)} files beside its door; at most {MOST_FILES}")
    return lines


def sizes(repository: Repository, small: dict[str, str]) -> list[str]:
    """Files that are too long, and files that are too short without a reason in `small` (or with one in vain)."""
    lines = []
    for file in repository.of(*MEASURED):
        if file.lines > MOST_LINES:
            lines.append(f"{file}: {file.lines} lines; at most {MOST_LINES}")
        if file.is_door:
            continue
        if file.lines < FEWEST_LINES and not small.get(file.place):
            lines.append(f"{file}: {file.lines} lines; a file below {FEWEST_LINES} needs a reason in SMALL")
        if file.lines >= FEWEST_LINES and file.place in small:
            lines.append(f"{file}: {file.lines} lines; its entry in SMALL can go")
    places = {file.place for file in repository.files}
    return lines + [f"{place}: in SMALL, but no file" for place in small if place not in places]


def packages(repository: Repository) -> list[str]:
    """Differences between the packages of pyproject.toml and the folders with an `__init__.py`."""
    found = {file.module for file in repository.of("metarl", "metarl_envs") if file.is_door}
    folders = {file.package for file in repository.of("metarl", "metarl_envs")}
    lines = [f"{name}: in pyproject.toml or a folder, but not both" for name in sorted(repository.packages ^ found)]
    return lines + [f"{name}: files without an __init__.py" for name in sorted(folders - found)]


def untested_files(repository: Repository) -> list[str]:
    """Files of metarl without a file of tests of their own: tests/<room>/test_<file>.py with at least one test."""
    lines = []
    for file in repository.of("metarl"):
        if file.is_door:
            continue
        parts = file.module.split(".")[1:]
        if parts == ["__main__"]:
            continue
        expected = "/".join(["tests", *parts[:-1], f"test_{parts[-1]}.py"])
        tests = next((f for f in repository.files if f.place == expected), None)
        if tests is None:
            lines.append(f"{file}: has no {expected}")
        elif not any(name.startswith("test_") for name in tests.defined):
            lines.append(f"{expected}: has no test")
    return lines


def imports_of_tests(repository: Repository) -> list[str]:
    """Files that import a module of tests."""
    return [
        f"{file}:{found.line}: imports {there.module}"
        for file in repository.of("tests")
        for found, there in repository.targets(file)
        if there.module.split(".")[-1].startswith("test_")
    ] + [
        f"{file}:{found.line}: imports {found.module}"
        for file in repository.of("tests")
        for found in file.imports
        if found.module.startswith(("test_", "conftest"))
    ]
