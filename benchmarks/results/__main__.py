"""`python -m benchmarks.results NAME [OPTIONS]`: make the tables of results in the documentation."""

from benchmarks.program import run_program
from metarl.core.launch import leave

SCRIPTS = {
    "cheetah-memory": (
        "cheetah_memory",
        "Half-Cheetah in a hidden direction or at a hidden velocity, with memory (docs/memory.md)",
    ),
    "compare-methods": ("compare_methods", "all methods at equal data and equal tuning (docs/comparison.md)"),
    "duan16": ("duan16", "bandits and random MDPs as in RL2, with memory and by gradients (docs/memory.md)"),
    "finn17-navigation2d": ("finn17_navigation2d", "2-D navigation as in Finn et al. 2017, figure 4 (docs/results.md)"),
    "reptile-sb3": ("reptile_sb3", "Reptile around PPO of Stable-Baselines3 (docs/stable-baselines3.md)"),
    "varibad-gridnav": (
        "varibad_gridnav",
        "grid navigation as in VariBAD, with memory and by gradients (docs/memory.md)",
    ),
}
PURPOSE = "Make the tables of results. Finished runs in the output folder are used again, begun ones are finished."

if __name__ == "__main__":
    leave(run_program("benchmarks.results", PURPOSE, SCRIPTS))
