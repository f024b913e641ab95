import json

import torch

from metarl.runs.manifest import sealed

FACTS = {"environment_steps": 5, "wall_seconds": 1.0, "threads": 2}
STATE = {"theta": {"b": torch.arange(3.0), "a": torch.ones(2, 2, dtype=torch.float64)}}


def rewrite(folder, **changes):
    """Change entries of a manifest as somebody would who knows how it is sealed."""
    manifest = json.loads((folder / "manifest.json").read_text())
    entries = {name: value for name, value in (manifest | changes).items() if name != "sha256"}
    (folder / "manifest.json").write_bytes(sealed(entries))
