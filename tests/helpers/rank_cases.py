"""Small trainings for torchrun, several in one launch: `python -m tests.helpers.rank_cases OUT CASE ...`."""

import sys
from dataclasses import replace
from pathlib import Path

from metarl.config.algorithms import (
    MamlConfig,
    MamlTrpoConfig,
    PretrainConfig,
    PrompConfig,
    ReptileConfig,
    TrustRegionConfig,
)
from metarl.config.memory import MemoryPolicyConfig, PpoConfig, Rl2Config
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.core.launch import leave
from metarl.core.ranks import process_group
from metarl.training.start import train

SMALL = {
    "variant": "finn17",
    "iterations": 5,
    "meta_batch_size": 5,
    "samples_per_step": 150,
    "validation_tasks": 3,
    "dtype": "float64",
    "policy": PolicyConfig(hidden_sizes=(8,)),
    "inner": InnerConfig(lr=0.3, steps=2),
}
"""Episodes that end early: what a rank's tasks are padded to is not what another's are."""

REGION = TrustRegionConfig(cg_iterations=5)
"""So few episodes leave the curvature nearly singular, and ten iterations multiply rounding by up to 1e12."""

ADAM_TRPO = SMALL | {
    "inner": InnerConfig(lr=0.01, optimiser="adam", first_order=True),
    "policy": PolicyConfig(hidden_sizes=(6, 6), activation="relu"),
}
"""Units that are never active have gradients and second moments of zero, where Adam's step has no derivative."""

TRIALS = {name: value for name, value in SMALL.items() if name not in ("samples_per_step", "policy", "inner")} | {
    "episodes": 2,
    "inner": InnerConfig(steps=1),
    "policy": MemoryPolicyConfig(memory_size=6, hidden_sizes=(6,)),
    "ppo": PpoConfig(minibatches=2),
}

CASES = {
    "maml-trpo": ("maml-trpo", MamlTrpoConfig(**SMALL, trust_region=REGION)),
    "maml": ("maml", MamlConfig(**SMALL)),
    "e-maml": ("maml", MamlConfig(**SMALL | {"inner": InnerConfig(lr=0.3, estimator="e-maml")})),
    "promp": ("promp", PrompConfig(**SMALL)),
    "reptile": ("reptile", ReptileConfig(**SMALL)),
    "inner-adam": ("reptile", ReptileConfig(**SMALL | {"inner": InnerConfig(lr=0.01, steps=2, optimiser="adam")})),
    "inner-adam-trpo": ("maml-trpo", MamlTrpoConfig(**ADAM_TRPO, trust_region=REGION)),
    "pretrain": ("pretrain", PretrainConfig(**SMALL)),
    "pretrain-trpo": ("pretrain", PretrainConfig(**SMALL, outer="trpo", trust_region=REGION)),
    "rl2": ("rl2", Rl2Config(**TRIALS)),
    "meta-sgd": ("maml", MamlConfig(**SMALL | {"inner": InnerConfig(lr=0.3, learned_lr="per-layer")})),
    "checkpointing": (
        "maml-trpo",
        MamlTrpoConfig(**SMALL | {"inner": InnerConfig(lr=0.3, steps=2, checkpointing=True)}, trust_region=REGION),
    ),
}
NORMALISED = PolicyConfig(hidden_sizes=(8,), normalise_observations=True)
CASES["normalised"] = ("maml", replace(CASES["maml"][1], policy=NORMALISED))
CASES["float32"] = ("maml-trpo", replace(CASES["maml-trpo"][1], dtype="float32", iterations=1))
CASES |= {
    f"ordered-{name}": (algorithm, replace(config, ordered_sums=True, iterations=3))
    for name, (algorithm, config) in CASES.items()
}


def main(out, names):
    """Train the named cases into folders of `out`."""
    with process_group("cpu", 60):
        for name in names:
            algorithm, config = CASES[name]
            train(algorithm, config, Path(out) / name)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
    leave(0)
