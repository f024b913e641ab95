"""Campaigns that break runs in every way we could think of, and count what was promised and what was kept."""
