from dataclasses import replace

import pytest

from metarl.config.algorithms import MamlConfig, MamlTrpoConfig, PretrainConfig, PrompConfig, ReptileConfig
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.config.validation import validate
from metarl.core.errors import ConfigError


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (ReptileConfig(inner=InnerConfig(steps=3, learned_lr="per-layer")), "rates cannot be learned"),
        (ReptileConfig(inner=InnerConfig(steps=0)), "at least one step"),
        (ReptileConfig(inner=InnerConfig(steps=3, first_order=True)), "no second-order form"),
        (PretrainConfig(inner=InnerConfig(learned_lr="per-parameter")), "rates cannot be learned"),
        (ReptileConfig(inner=InnerConfig(steps=3, checkpointing=True)), "differentiates no adaptation, so no graph"),
        (PretrainConfig(inner=InnerConfig(checkpointing=True)), "differentiates no adaptation, so no graph"),
        (PrompConfig(inner=InnerConfig(steps=0)), "at least one step"),
        (ReptileConfig(inner=InnerConfig(steps=3, adapt="head")), "would stay as it was drawn"),
        (MamlConfig(inner=InnerConfig(optimiser="adam")), "no derivative where a gradient is zero"),
        (MamlConfig(inner=InnerConfig(optimiser="adam", first_order=True, learned_lr="per-layer")), "learned rates"),
        (PrompConfig(inner=InnerConfig(estimator="e-maml")), "only maml can use it"),
        (MamlTrpoConfig(inner=InnerConfig(estimator="e-maml")), "only maml can use it"),
        (MamlConfig(inner=InnerConfig(adapt="context")), "add --policy.context 2"),
        (MamlConfig(policy=PolicyConfig(context=2)), "--inner.adapt context"),
        (ReptileConfig(inner=InnerConfig(steps=3, adapt="context"), policy=PolicyConfig(context=2)), "Reptile moves"),
    ],
)
def test_combinations_that_make_no_sense_are_refused_with_the_reason(config, reason):
    with pytest.raises(ConfigError, match=reason):
        validate(config)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("iterations", -1),
        ("meta_batch_size", 0),
        ("episodes", 0),
        ("samples_per_step", 0),
        ("gamma", 1.5),
        ("gamma", float("nan")),
        ("gae_lambda", -0.1),
        ("checkpoint_every", 0),
        ("inner.lr", 0.0),
        ("inner.lr", float("inf")),
        ("inner.later_lr", -1.0),
        ("inner.steps", -1),
        ("policy.hidden_sizes", (4, 0)),
        ("trust_region.max_kl", 0.0),
        ("trust_region.damping", -1e-5),
        ("trust_region.backtrack_ratio", 1.0),
        ("trust_region.curvature_stride", 0),
    ],
)
def test_values_that_cannot_be_used_are_named(name, value):
    *path, last = name.split(".")
    config = MamlTrpoConfig()
    if path:
        config = replace(config, **{path[0]: replace(getattr(config, path[0]), **{last: value})})
    else:
        config = replace(config, **{last: value})
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} = "):
        validate(config)
