"""The configuration that the options of a training's command line replace. Imports no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from metarl.config.run import option_name
from metarl.config.toml import load_preset, preset_or_default


def default_of(algorithm: str, arguments: list[str], asks_help: bool) -> tuple[Any, str]:
    """The configuration whose options the command line overrides: --config, or the preset of --family and --variant."""
    given = {name: value_given(arguments, option_name(name)) for name in ("config", "family", "variant")}
    if given["config"] is not None:
        config, place = load_preset(algorithm, given["config"])
        if given["family"] not in (None, config.family):
            config = replace(config, variant=None)  # another family has other variants
        return config, place
    family = given["family"] or "navigation2d"
    variant = given["variant"]
    if variant in (None, "None"):
        variant = None
        if not asks_help:
            from metarl.families.registry import family_name, family_variants

            family = family_name(family)
            variants = family_variants(family)
            variant = variants[0] if variants else None
    return preset_or_default(algorithm, family, variant)


def value_given(arguments: list[str], option: str) -> str | None:
    """The last value of an option, as `--option value` or `--option=value`, before the arguments are parsed."""
    value = None
    for i, argument in enumerate(arguments):
        spelled = argument.replace("_", "-")
        if spelled == option and i + 1 < len(arguments):
            value = arguments[i + 1]
        elif spelled.startswith(option + "="):
            value = argument.partition("=")[2]
    return value


def named_family(config: Any) -> Any:
    """The configuration with family and network by names of modules, not files, and with the variant that applies.

    Args:
        config: A configuration of reinforcement learning.

    Raises:
        ConfigError, FamilyError: The file of the network, the family or its variant does not exist.
    """
    from metarl.families.registry import family_name, family_variants, load_family
    from metarl.networks.factory import network_name

    policy = replace(config.policy, network=network_name(config.policy.network))
    config = replace(config, family=family_name(config.family), policy=policy)
    if config.variant is None:
        variants = family_variants(config.family)
        config = replace(config, variant=variants[0] if variants else None)
    load_family(config.family, config.variant).close()  # reports an unknown variant before torch is loaded
    return config
