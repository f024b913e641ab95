"""Task families that ship with metarl, registered by the same entry points as those of other packages."""
