"""Families that installed packages declare, and the ids of those that ship.

It is loaded while Gymnasium is imported for the first time, possibly by another module of this room. So it imports no
other module of the room, and Gymnasium only where it is needed.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

GROUP = "metarl.families"
"""Group of entry points."""

MODULE = "metarl.families.ids"
"""This package, from which ids build their environments."""

SHIPPED = "metarl_envs"
"""Package of the families that ship."""


def registered() -> dict[str, EntryPoint]:
    """Entry points of all families that installed packages declare, by name."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name)}


def family_id(attribute: str) -> str:
    """The id of a family that ships, from the name of its class, or of the function that builds it.

    Example:
        >>> family_id("Navigation2D"), family_id("ml10")
        ('metarl/Navigation2D-v0', 'metarl/ML10-v0')
    """
    return f"metarl/{attribute if attribute[0].isupper() else attribute.upper()}-v0"


def register_shipped() -> None:
    """Register all families that ship. Loads none of them."""
    import gymnasium

    for name, entry in registered().items():
        env_id = family_id(entry.attr)
        if entry.module.partition(".")[0] == SHIPPED and env_id not in gymnasium.registry:
            gymnasium.register(
                env_id,
                entry_point=f"{MODULE}.task_env:make_env",
                vector_entry_point=f"{MODULE}.task_vector_env:make_vector_env",
                kwargs={"family": name},
            )
