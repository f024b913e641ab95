"""Numbers and metric names as JSON, which has neither NaN nor infinity, and as text."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from metarl.core.errors import RunError


def finite_list(values: Iterable[Any]) -> list[float | None]:
    """Floats for JSON; values that are not finite become None.

    Example:
        >>> finite_list([1, float("nan"), float("inf")])
        [1.0, None, None]
    """
    return [float(v) if math.isfinite(v) else None for v in values]


def finite(value: Any) -> Any:
    """Nested dictionaries and lists with null for numbers that are not finite.

    Example:
        >>> finite({"return": [1.0, float("nan")], "step": 3})
        {'return': [1.0, None], 'step': 3}
    """
    if isinstance(value, dict):
        return {name: finite(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [finite(entry) for entry in value]
    return finite_list([value])[0] if isinstance(value, float) else value


def write_json(path: Path, result: Any) -> None:
    """Write a result as JSON, one line per entry; an existing file is overwritten.

    Args:
        path: The file; missing parent directories are created.
        result: Nested dictionaries and lists of finite numbers and strings.

    Raises:
        RunError: The file cannot be written, or a number is not finite.
    """
    try:
        text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    except ValueError:
        raise RunError(f"{path}: not written: {_not_finite(result)}; expected a finite number or null") from None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from None


def _not_finite(value: Any, at: str = "") -> str | None:
    """The place and value of the first number that is not finite, as "return.mean.0 = nan"."""
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{at} = {value}"
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    found = (_not_finite(entry, f"{at}.{name}" if at else str(name)) for name, entry in entries)
    return next((where for where in found if where is not None), None)


def number_text(value: float | None, digits: int = 2) -> str:
    """A number as text, with two more digits if its magnitude is at most one; "-" for None.

    Example:
        >>> number_text(12.3456), number_text(0.123456), number_text(None)
        ('12.35', '0.1235', '-')
    """
    if value is None:
        return "-"
    return f"{value:.{digits if abs(value) > 1 else digits + 2}f}"


def words(name: str) -> str:
    """An identifier as words: underscores become spaces."""
    return name.replace("_", " ")
