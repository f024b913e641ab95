"""Families over environments of other packages, as a user would declare them."""

import gymnasium
from gymnasium.spaces import Box, Dict, Discrete

from metarl.families import declare_family


def empty_room(size, cost, **options):
    """An empty room of minigrid, seen as the agent's own view; every step has a cost."""
    import minigrid  # noqa: F401 (registers its ids)
    from minigrid.wrappers import ImgObsWrapper

    env = ImgObsWrapper(gymnasium.make("MiniGrid-Empty-5x5-v0", size=int(size), **options))
    return gymnasium.wrappers.TransformReward(env, lambda reward: float(reward) - float(cost))


def highway(vehicles, **options):
    """A highway with more or less traffic."""
    import highway_env  # noqa: F401 (registers its ids)

    config = {"vehicles_count": int(vehicles), "duration": 10, "observation": {"type": "Kinematics"}}
    return gymnasium.make("highway-fast-v0", config=config, **options)


def reach(distance, **options):
    """Fetch's arm, whose reward is sparse: it counts as there within a distance."""
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    env = gymnasium.make("FetchReach-v4", max_episode_steps=20, **options)
    env.unwrapped.distance_threshold = float(distance)
    return env


def windy_moon(gravity, wind_power, **options):
    """Box2D's lander in wind."""
    options |= {"gravity": float(gravity), "wind_power": float(wind_power), "enable_wind": True}
    return gymnasium.make("LunarLander-v3", **options)


minigrid = declare_family(
    empty_room, Dict({"size": Box(5.0, 8.0, ()), "cost": Box(0.0, 0.1, ())}), horizon=20, name="minigrid"
)
highway_env = declare_family(highway, Dict({"vehicles": Discrete(10, start=5)}), horizon=10, name="highway")
robotics = declare_family(reach, Dict({"distance": Box(0.05, 0.3, ())}), horizon=20, name="reach")
lander = declare_family(
    windy_moon, Dict({"gravity": Box(-11.9, -5.0, ()), "wind_power": Box(0.0, 20.0, ())}), horizon=40,
    name="lander",
)  # fmt: skip


def meta_world():
    """Meta-World's reach, as it ships."""
    from metarl.families import load_family

    return load_family("metaworld-ml1", "reach-v3")


PACKAGES = {
    "minigrid": "minigrid",
    "highway_env": "highway_env",
    "robotics": "gymnasium_robotics",
    "lander": "Box2D",
    "meta_world": "metaworld",
}
"""Families of this module, and the packages that they need."""
