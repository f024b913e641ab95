"""What a search may choose: options by ranges or lists, as text, from a TOML file, or as shipped. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from metarl.config.registry import ALGORITHMS, find_algorithm
from metarl.config.run import RunConfig, fields_of, option_name, value_of
from metarl.config.toml import from_mapping, read_toml
from metarl.config.validation import validate
from metarl.core.errors import ConfigError, nearest

EDGE = 0.05
"""Share of a range at either end that counts as its edge."""

SYNTAX = "LOW:HIGH, log:LOW:HIGH, or values with commas between them"

NOT_SEARCHED = (
    "seed",
    "family",
    "variant",
    "observe_task",
    "device",
    "dtype",
    "validation_tasks",
    "checkpoint_every",
    "keep_checkpoints",
    "ordered_sums",
    "workers",
    "worker_timeout",
    "worker_retries",
    "rank_timeout",
)
"""Options that are the same for all trials: what is measured, and what has no influence on the result."""


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`."""

    low: float
    high: float
    log: bool = False
    """Whether they are drawn on a logarithmic scale."""
    whole: bool = False
    """Whether they are whole numbers."""

    def __str__(self) -> str:
        return f"{'log:' if self.log else ''}{self.low:g}:{self.high:g}"

    def holds(self, value: Any) -> bool:
        """Whether a value is in the range."""
        return type(value) in (int, float) and self.low <= value <= self.high

    def edge_of(self, value: float) -> str | None:
        """The end, "low" or "high", that a value is at; None for values inside.

        Example:
            >>> Range(1e-4, 1e-2, log=True).edge_of(9e-3), Range(1, 5, whole=True).edge_of(2)
            ('high', None)
        """
        if self.whole:
            share = 0.5 if self.low < value < self.high else float(value >= self.high)
        elif self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return "low" if share <= EDGE else "high" if share >= 1 - EDGE else None


@dataclass(frozen=True)
class Choices:
    """Values one of which is taken."""

    values: tuple[Any, ...]

    def __str__(self) -> str:
        return ",".join(self.texts)

    @property
    def texts(self) -> tuple[str, ...]:
        """Each value as text."""
        return tuple(_text(value) for value in self.values)

    def holds(self, value: Any) -> bool:
        """Whether a value is one of them."""
        return value in self.values

    def edge_of(self, value: Any) -> str | None:
        """The end of the list, "low" or "high", that a number is at; None for others, and for lists of one or two."""
        if len(self.values) < 3 or any(type(known) not in (int, float) for known in self.values):
            return None
        return "low" if value == min(self.values) else "high" if value == max(self.values) else None


Space = dict[str, Range | Choices]
"""What is searched, by the dotted name of the option."""


def parse_space(entries: Sequence[str], base: RunConfig) -> Space:
    """The space of a command line.

    Args:
        entries: Texts such as "adam.lr=log:1e-4:1e-2" and "inner.lr=0.05,0.1,0.2".
        base: The configuration whose options are searched.

    Raises:
        ConfigError: An entry is not of that form, or its option or a value does not exist.

    Example:
        >>> from metarl.config import MamlConfig
        >>> space = parse_space(["adam.lr=log:1e-4:1e-2", "policy.hidden_sizes=64x64,100x100"], MamlConfig())
        >>> space["adam.lr"].high, space["policy.hidden_sizes"].values
        (0.01, ((64, 64), (100, 100)))
    """
    space: Space = {}
    for entry in entries:
        name, sign, text = entry.partition("=")
        if not sign or not text:
            raise ConfigError(f"--search {entry}; expected OPTION={SYNTAX}")
        name = name.removeprefix("--").replace("-", "_")
        if name in space:
            raise ConfigError(f"--search {entry}: {name} is given twice")
        space[name] = _entry(name, text, base, "--search ")
    return space


def space_of(mapping: Mapping[str, Any], base: RunConfig, where: str) -> Space:
    """The space of nested or dotted entries: text as on the command line, or lists of values.

    Args:
        mapping: The entries.
        base: The configuration whose options are searched.
        where: Start of error messages.

    Raises:
        ConfigError: An entry is invalid.

    Example:
        >>> from metarl.config import MamlConfig
        >>> str(space_of({"inner": {"lr": [0.1, 0.2]}}, MamlConfig(), "example")["inner.lr"])
        '0.1,0.2'
    """
    space: Space = {}
    for name, value in dotted(mapping).items():
        space[name] = _entry(name, value, base, f"{where}: ")
    return space


def dotted(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested entries by dotted name.

    Example:
        >>> dotted({"adam": {"lr": 0.1}, "gamma": 0.9})
        {'adam.lr': 0.1, 'gamma': 0.9}
    """
    flat: dict[str, Any] = {}
    for name, value in mapping.items():
        flat |= dotted(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def shipped_spaces() -> dict[str, Path]:
    """Paths of the shipped spaces by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "spaces").glob("*.toml"))}


def shipped_space(algorithm: str, base: RunConfig) -> Space:
    """The space that ships for an outer update and its optimiser; empty for one's own that extends none.

    Args:
        algorithm: Name of the outer update, or `module:Class`.
        base: The configuration whose options are searched.
    """
    if algorithm not in ALGORITHMS:
        config = find_algorithm(algorithm).config
        kin = (name for name, known in ALGORITHMS.items() if issubclass(config, known.config))
        algorithm = next(kin, algorithm)
    shipped = shipped_spaces()
    name = f"{algorithm}-{getattr(base, 'outer', '')}"
    name = name if name in shipped else algorithm
    space = space_of(read_toml(shipped[name]), base, f"{name}.toml") if name in shipped else {}
    return {name: entry for name, entry in space.items() if _has_effect(name, base)}


def _has_effect(name: str, base: RunConfig) -> bool:
    """Whether an option has an effect with the other options of a configuration."""
    return name not in base.unused()


def space_to_search(
    algorithm: str, base: RunConfig, entries: Sequence[str], file: Path | None, given: Collection[str] = ()
) -> Space:
    """The space of a command: that of a file and of `--search`, or the shipped one if neither is given.

    Args:
        algorithm: Name of the outer update, or `module:Class`.
        base: The configuration whose options are searched.
        entries: Texts of `--search`.
        file: A TOML file.
        given: Options with a value on the command line, which leave the shipped space.

    Raises:
        ConfigError: An entry is invalid, or an option is both given and searched.
    """
    if not entries and file is None:
        return {name: entry for name, entry in shipped_space(algorithm, base).items() if name not in given}
    space = ({} if file is None else load_space(file, base)) | parse_space(entries, base)
    for name in space:
        if name in given:
            raise ConfigError(f"{option_name(name)} = {value_of(base, name)}; expected none: it is searched")
    return space


def load_space(path: Path, base: RunConfig) -> Space:
    """The space of a TOML file; raises ConfigError if it cannot be read or is invalid."""
    return space_of(read_toml(path), base, str(path))


def with_values(base: RunConfig, values: Mapping[str, Any], where: str = "search") -> Any:
    """A configuration with dotted options replaced; raises ConfigError for values of another type.

    Example:
        >>> from metarl.config import MamlConfig
        >>> with_values(MamlConfig(), {"adam.lr": 1e-3}).adam.lr
        0.001
    """
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *tables, last = name.split(".")
        place = nested
        for table in tables:
            place = place.setdefault(table, {})
        place[last] = value
    return from_mapping(base, nested, where)


def values_of(base: RunConfig, space: Space) -> dict[str, Any] | None:
    """The values that a configuration has for the searched options; None if one is outside of its range."""
    values = {name: value_of(base, name) for name in space}
    return values if all(space[name].holds(value) for name, value in values.items()) else None


def _entry(name: str, given: Any, base: RunConfig, where: str) -> Range | Choices:
    """One option's range or values, from text or a list."""
    known = fields_of(type(base))
    if name not in known:
        raise ConfigError(f"{where}{name}: unknown option{nearest(name, known)}")
    if name in NOT_SEARCHED:
        raise ConfigError(f"{where}{name}: the same for all trials; expected an option of the method or the policy")
    if not _has_effect(name, base):
        raise ConfigError(f"{where}{name}: has no effect on this method")
    kinds = _kinds(known[name])
    if isinstance(given, str) and ":" in given and "," not in given and kinds & {int, float}:
        return _range(name, given, base, where, whole=float not in kinds)
    values = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else [given]
    read = [_token(value, kinds) if isinstance(value, str) else value for value in values]
    typed = tuple(value_of(with_values(base, {name: value}, f"{where}{name}"), name) for value in read)
    if len(set(typed)) < len(typed) or not typed:
        raise ConfigError(f"{where}{name} = {given}; expected each value once")
    for value in typed:
        if type(value) in (int, float):
            _check(name, value, base, where)
    return Choices(typed)


def _range(name: str, text: str, base: RunConfig, where: str, *, whole: bool) -> Range:
    log = text.startswith("log:")
    ends = text.removeprefix("log:").split(":")
    try:
        low, high = (int(end) if whole else float(end) for end in ends)
    except ValueError:
        kind = "whole numbers" if whole else "numbers"
        raise ConfigError(f"{where}{name} = {text}; expected {SYNTAX}, with {kind}") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"{where}{name} = {text}; expected LOW below HIGH")
    if log and low <= 0:
        raise ConfigError(f"{where}{name} = {text}; expected LOW above 0 on a logarithmic scale")
    for end in (low, high):
        _check(name, end, base, where)
    return Range(low, high, log, whole)


def _check(name: str, value: float, base: RunConfig, where: str) -> None:
    """Check one end or number by itself, as `metarl train` would."""
    try:
        validate(with_values(base, {name: value}))
    except ConfigError as error:
        if str(error).startswith(f"{option_name(name)} ="):
            raise ConfigError(f"{where}{name}: {str(error).removeprefix(option_name(name)).strip(' =')}") from None


def _kinds(annotation: Any) -> set[Any]:
    """The types that a value may have, None's among them."""
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return {get_origin(part) or part for part in parts}


def _token(text: str, kinds: set[Any]) -> Any:
    """The value of a text on the command line, as far as the types allow; text otherwise, which is then refused."""
    text = text.strip()
    if type(None) in kinds and text in ("none", "None"):
        return None
    if bool in kinds:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        if tuple in kinds:
            return tuple(int(size) for size in text.split("x"))
        if int in kinds:
            return int(text)
        if float in kinds:
            return float(text)
    except ValueError:
        return text
    return text


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    if value is None or isinstance(value, bool):
        return str(value).lower()
    # Six digits where they are enough to read the same number back.
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
