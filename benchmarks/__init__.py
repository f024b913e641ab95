"""Programs that measure metarl; they are run from the repository and not installed."""
