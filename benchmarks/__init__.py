"""Programs that measure metarl; they run from the repository and are not installed."""
