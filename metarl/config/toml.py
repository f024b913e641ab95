"""Configurations as TOML: reading, writing, shipped presets. Imports no torch."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from metarl.config.registry import find_algorithm
from metarl.core.errors import ConfigError, nearest

MAX_TOML_BYTES = 1 << 16
"""A configuration with every option takes two thousand."""

MAX_DOTS = 100
"""Keys of thousands of parts take the parser gigabytes."""


def to_mapping(config: Any) -> dict[str, Any]:
    """Nested plain values, entries that are None left out (TOML has none)."""
    mapping: dict[str, Any] = {}
    for entry in fields(config):
        value = getattr(config, entry.name)
        if is_dataclass(value):
            mapping[entry.name] = to_mapping(value)
        elif value is not None:
            mapping[entry.name] = list(value) if isinstance(value, tuple) else value
    return mapping


def flat_mapping(config: Any) -> dict[str, Any]:
    """The same values under dotted names, as the command line has them."""

    def opened(mapping: dict[str, Any], prefix: str) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, value in mapping.items():
            out |= opened(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        return out

    return opened(to_mapping(config), "")


def unset_options(config: Any, prefix: str = "") -> list[str]:
    """Dotted names of the options that are None."""
    names: list[str] = []
    for entry in fields(config):
        value = getattr(config, entry.name)
        if is_dataclass(value):
            names += unset_options(value, f"{prefix}{entry.name}.")
        elif value is None:
            names.append(prefix + entry.name)
    return names


def unset_mapping(names: Any, where: str) -> dict[str, Any]:
    """Nested values of None for the names that `unset_options` listed; raises ConfigError for anything but names."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{where}: unset = {names!r:.80}; expected a list of option names")
    mapping: dict[str, Any] = {}
    for name in names:
        *tables, last = name.split(".")
        place = mapping
        for table in tables:
            place = place.setdefault(table, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{where}: unset: {name!r} is no option")
        place[last] = None
    return mapping


def from_mapping(default: Any, mapping: Mapping[str, Any], where: str, prefix: str = "") -> Any:
    """`default` with the entries of a TOML table; raises ConfigError naming file, key, value and expectation."""
    hints = get_type_hints(type(default))
    changes: dict[str, Any] = {}
    for name, value in mapping.items():
        key = prefix + name
        if name not in hints:
            raise ConfigError(f"{where}: unknown key '{key}'{nearest(name, hints)}")
        annotation = hints[name]
        if is_dataclass(annotation):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{where}: {key} = {value!r}; expected a table")
            changes[name] = from_mapping(getattr(default, name), value, where, f"{key}.")
        else:
            changes[name] = _converted(annotation, value, f"{where}: {key}")
    return replace(default, **changes)


def _converted(annotation: Any, value: Any, place: str) -> Any:
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    if value is None and type(None) in options:
        return None
    kind = next(option for option in options if option is not type(None))
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ConfigError(f"{place} = {value!r}; expected one of {', '.join(map(repr, get_args(kind)))}")
        return value
    if get_origin(kind) is tuple:
        if isinstance(value, list | tuple) and all(type(item) is int for item in value):
            return tuple(value)
        raise ConfigError(f"{place} = {value!r}; expected a list of whole numbers")
    if kind is float and type(value) in (int, float):
        return float(value)
    if type(value) is kind:
        return value
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
    raise ConfigError(f"{place} = {value!r}; expected {words[kind]}")


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a mapping; raises ConfigError where it cannot be read."""
    try:
        if path.is_file() and path.stat().st_size > MAX_TOML_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_TOML_BYTES} bytes; expected a configuration")
        text = path.read_text(encoding="utf-8")
        if any(line.count(".") > MAX_DOTS for line in text.splitlines()):
            raise ConfigError(f"{path}: a line has more than {MAX_DOTS} dots; expected a configuration")
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def load_preset(algorithm: str, name: str) -> tuple[Any, str]:
    """The configuration of a shipped preset or of a TOML file, and where it was read from."""
    shipped = presets()
    path = shipped.get(name) or Path(name)
    if name not in shipped and not (path.suffix == ".toml" or path.exists()):
        raise ConfigError(f"--config {name}: neither a file nor a shipped preset{nearest(name, shipped)}")
    mapping = read_toml(path)
    declared = mapping.pop("algorithm", algorithm)
    if declared != algorithm:
        raise ConfigError(
            f"{path}: algorithm = {declared!r}; expected {algorithm!r}, the algorithm on the command line"
        )
    return from_mapping(find_algorithm(algorithm).config(), mapping, str(path)), str(path)


def preset_or_default(algorithm: str, family: str, variant: str | None) -> tuple[Any, str]:
    """The shipped preset of an algorithm on a family's variant, or the algorithm's defaults, and which it is."""
    name = preset_for(algorithm, family, variant)
    if name is not None:
        return load_preset(algorithm, name)[0], f"the preset {name}"
    return replace(find_algorithm(algorithm).config(), family=family, variant=variant), "the algorithm"


def presets() -> dict[str, Path]:
    """Shipped presets by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "presets").glob("*.toml"))}


def preset_for(algorithm: str, family: str, variant: str | None) -> str | None:
    """The shipped preset of an algorithm on one variant of a family, if there is one."""
    for name, path in presets().items():
        mapping = read_toml(path)
        if (mapping["algorithm"], mapping["family"], mapping.get("variant")) == (algorithm, family, variant):
            return name
    return None
