"""Configurations as TOML: reading, writing, shipped presets. Imports no torch."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from metarl.config.registry import find_algorithm
from metarl.core.errors import ConfigError, nearest

MAX_TOML_BYTES = 1 << 16
"""Maximum size of a file; a configuration with every option has about two thousand bytes."""

MAX_DOTS = 100
"""Maximum number of dots in a line; the parser needs gigabytes for keys with thousands of parts."""

FORMER = {"decay": ("schedule", {"none": "constant"})}
"""Names of options in files of earlier versions, each with its name now, and its former values with those now."""


def to_mapping(config: Any) -> dict[str, Any]:
    """A configuration as nested plain values, without entries that are None, which TOML cannot represent."""
    mapping: dict[str, Any] = {}
    for entry in fields(config):
        value = getattr(config, entry.name)
        if is_dataclass(value):
            mapping[entry.name] = to_mapping(value)
        elif value is not None:
            mapping[entry.name] = list(value) if isinstance(value, tuple) else value
    return mapping


def flat_mapping(config: Any) -> dict[str, Any]:
    """A configuration as plain values under dotted names, as on the command line, without entries that are None.

    Example:
        >>> from metarl.config import AdamConfig
        >>> flat_mapping(AdamConfig())
        {'schedule': 'linear', 'warm_up': 0, 'drops': 2, 'lr': 0.003, 'beta1': 0.9, 'beta2': 0.999}
    """

    def opened(mapping: dict[str, Any], prefix: str) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, value in mapping.items():
            out |= opened(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        return out

    return opened(to_mapping(config), "")


def unset_options(config: Any, prefix: str = "") -> list[str]:
    """Dotted names of the options that are None.

    Args:
        config: A configuration.
        prefix: Prefix of all names.
    """
    names: list[str] = []
    for entry in fields(config):
        value = getattr(config, entry.name)
        if is_dataclass(value):
            names += unset_options(value, f"{prefix}{entry.name}.")
        elif value is None:
            names.append(prefix + entry.name)
    return names


def unset_mapping(names: Any, where: str) -> dict[str, Any]:
    """The inverse of `unset_options`: nested tables in which every listed option is None.

    Args:
        names: Dotted names, as read from a file.
        where: Start of error messages.

    Raises:
        ConfigError: `names` is not a list of option names.
    """
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
    """A configuration with the entries of a TOML table replaced.

    Args:
        default: The configuration whose other entries are kept.
        mapping: Nested tables of new values.
        where: Start of error messages, usually the file.
        prefix: Prefix of the keys in error messages.

    Raises:
        ConfigError: A key is unknown, or a value has the wrong type; the message names both.

    Example:
        >>> from metarl.config import AdamConfig
        >>> from_mapping(AdamConfig(), {"lr": 1}, "example").lr
        1.0
        >>> from_mapping(AdamConfig(), {"rl": 1}, "example")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        metarl.core.errors.ConfigError: example: unknown key 'rl' (valid: ...)...
    """
    hints = get_type_hints(type(default))
    changes: dict[str, Any] = {}
    for name, value in mapping.items():
        key = prefix + name
        if name in FORMER and FORMER[name][0] in hints and name not in hints:
            name, values = FORMER[name]
            key = f"{key}, now {prefix}{name},"
            value = values.get(value, value) if isinstance(value, str) else value
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
    if hasattr(value, "tolist"):
        value = value.tolist()  # numbers and arrays of NumPy
    elif isinstance(value, os.PathLike):
        value = os.fspath(value)
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
    """Parse a TOML file; raises ConfigError if the file cannot be read, is too large or is not valid TOML."""
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
    """Load a shipped preset or a TOML file.

    Args:
        algorithm: Name of the outer update; the file must name the same one or none.
        name: Name of a preset, or path of a file.

    Returns:
        The configuration and the path of its file.

    Raises:
        ConfigError: There is no such preset or file, or its content is invalid.

    Example:
        >>> load_preset("maml-trpo", "finn17-navigation2d")[0].family
        'navigation2d'
    """
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
    """The shipped preset of an algorithm on a variant of a family, or the algorithm's defaults.

    Args:
        algorithm: Name of the outer update.
        family: Name of the family.
        variant: Variant of the family.

    Returns:
        The configuration, and a phrase for its origin: "the preset NAME" or "the algorithm".
    """
    name = preset_for(algorithm, family, variant)
    if name is not None:
        return load_preset(algorithm, name)[0], f"the preset {name}"
    return replace(find_algorithm(algorithm).config(), family=family, variant=variant), "the algorithm"


def presets() -> dict[str, Path]:
    """Paths of the shipped presets by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "presets").glob("*.toml"))}


def preset_for(algorithm: str, family: str, variant: str | None) -> str | None:
    """Name of the shipped preset of an algorithm on a variant of a family; None if there is none."""
    for name, path in presets().items():
        mapping = read_toml(path)
        if (mapping["algorithm"], mapping["family"], mapping.get("variant")) == (algorithm, family, variant):
            return name
    return None
