"""Task families that ship with metarl, registered by the same entry points as those of other packages.

Importing the package gives every family an id in Gymnasium's registry, such as `metarl/Navigation2D-v0`.
"""

from metarl.families.ids import register_shipped

register_shipped()
