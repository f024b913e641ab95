"""Contracts that are written as protocols."""

import inspect


def methods_of(contract):
    """The methods that a protocol and those that it extends ask for, by name."""
    return {
        name: method
        for kind in contract.__mro__
        if getattr(kind, "_is_protocol", False)
        for name, method in vars(kind).items()
        if inspect.isfunction(method) and (not name.startswith("_") or name in ("__iter__", "__call__"))
    }
