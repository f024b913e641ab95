"""What users name as `module:attribute`: families, outer updates and inner rules of their own."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from metarl.errors import MetarlError, nearest


def import_attribute(name: str, what: str, error: type[MetarlError]) -> Any:
    """The attribute of a module, which may lie in the working directory; `what` begins the message of `error`."""
    module_name, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except MetarlError:
        raise
    except Exception as reason:
        raise error(f"{what}: importing {module_name} raised {type(reason).__name__}: {reason}") from reason
    if not hasattr(module, attribute):
        names = [n for n in vars(module) if not n.startswith("_")]
        raise error(f"{what}: module {module_name} has no '{attribute}'{nearest(attribute, names)}")
    return getattr(module, attribute)
