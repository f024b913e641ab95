"""One plain line for what is wrong with a command line, in place of the parser's boxes."""

from __future__ import annotations

import re
from typing import Any

from metarl.config import fields_of, option_name
from metarl.errors import nearest


def complaint(box: str, command: Any) -> str:
    """One line from tyro's box: what is wrong, and for an unknown option the nearest that exists."""
    # A UTF-8 box has its title in the border; without UTF-8 the title is a block of its own.
    lines = box.splitlines()
    start = 0 if lines and lines[0].startswith("╭") else 1
    blocks = [""]
    for line in (line.strip("│╰╯ ") for line in lines[1 - start :]):
        if set(line) <= {"─", "-"} and line:
            blocks.append("")
        else:
            blocks[-1] += f" {line}"
    message = one_line(blocks[min(start, len(blocks) - 1)]) or "the command line cannot be parsed"
    unknown = re.match(r"Unrecognized options: (--?[^\s,]+)", message)
    if unknown:
        known = [option_name(name) for name in _all_options(command)]
        return f"unknown option {unknown[1]}{nearest(unknown[1].partition('=')[0], known)}"
    value = re.match(r"Error parsing (\S+): (.*)", message)
    if value:
        literal = re.search(r"'([^']*)'$", value[2])
        for sign, expected in (
            ("int()", "a whole number"),
            ("float", "a number"),
            ("valid parse", "whole numbers"),
        ):
            if sign in value[2]:
                return f"{value[1]}{f' = {literal[1]}' if literal else ''}; expected {expected}"
        return f"{value[1]}: {value[2]}"
    missing = re.match(r"Missing from metarl \S+: (.*)", message)
    if missing:
        return f"missing: {missing[1]}"
    return message


def _all_options(command: Any) -> list[str]:
    names: list[str] = []
    for name in fields_of(command):
        names.append(name.removeprefix("where.").removeprefix("what."))
    return names


def one_line(message: str) -> str:
    return " ".join(message.split())
