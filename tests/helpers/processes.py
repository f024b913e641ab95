"""Ranks as threads and as processes of torchrun."""

import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import tomli_w

from metarl.config.toml import to_mapping
from metarl.core.ordered_sums import on_share
from metarl.core.ranks import (
    Ranks,
)
from tests.helpers import rank_cases

ROOT = Path(__file__).parents[2]


class Numbered(Ranks):
    """A rank by its number alone; it has nobody to talk to."""

    def __init__(self, index, size):
        self.index, self.size = index, size


def everyone(tasks, compute):
    """The results of all ranks, of which each is a thread with one task."""
    found = {}
    on_share(tasks, True, lambda part, place: found.update({place: compute(place)}))
    return [found[place] for place in range(tasks)]


def launch(processes, *arguments, cwd=ROOT, options=("--standalone",)):
    """torchrun on `-m` arguments."""
    command = [sys.executable, "-m", "torch.distributed.run", *options, "--nproc-per-node", str(processes), "-m"]
    return subprocess.Popen(
        [*command, *map(str, arguments)], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process):
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return out


def write_config(tmp_path, **changes):
    algorithm, config = rank_cases.CASES["ordered-maml-trpo"]
    config = replace(config, inner=replace(config.inner, steps=1), **changes)
    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps({"algorithm": algorithm, **to_mapping(config)}))
    return path, config


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
