"""The task families that ship with metarl, registered through the same entry points as anybody's."""
