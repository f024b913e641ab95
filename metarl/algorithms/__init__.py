"""One file an outer update; each has a `meta_step` that shows the whole algorithm."""
