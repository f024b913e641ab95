"""Comparison of runs."""

from metarl.runs.directory import read_metrics
from metarl.runs.manifest import list_checkpoints


def timeless(record):
    """A metrics record without times and bytes exchanged."""
    return {k: v for k, v in record.items() if k not in ("wall_seconds", "seconds", "exchanged_bytes")}


def assert_same_run(one, two):
    """Bitwise the same tensors files and the same metrics but for times."""
    left, right = list_checkpoints(one), list_checkpoints(two)
    newest = max(left)
    assert newest == max(right)
    assert (left[newest] / "theta.safetensors").read_bytes() == (right[newest] / "theta.safetensors").read_bytes()
    assert [timeless(r) for r in read_metrics(one)] == [timeless(r) for r in read_metrics(two)]
