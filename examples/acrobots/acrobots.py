"""Acrobots whose links differ in mass: a task family in a package of its own."""

from gymnasium.spaces import Box, Dict

import metarl

family = metarl.declare_family(
    "Acrobot-v1",
    Dict({"LINK_MASS_1": Box(0.5, 2.0, ()), "LINK_MASS_2": Box(0.5, 2.0, ())}),
    train_space=Dict({"LINK_MASS_1": Box(0.7, 1.4, ()), "LINK_MASS_2": Box(0.7, 1.4, ())}),
    horizon=200,
    name="acrobots",
)
