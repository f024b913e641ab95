"""`python -m benchmarks.speed NAME [OPTIONS]`: measure the speed of metarl."""

from benchmarks.program import run_program
from metarl.core.launch import leave

SCRIPTS = {
    "act": ("act", "one action: Agent.act, and the exported policy in other runtimes"),
    "iteration": ("iteration", "one MAML-TRPO iteration, of the library and of a naive implementation"),
    "sampling": ("sampling", "rollouts of one task family, beside MuJoCo itself where it runs on MuJoCo"),
    "fewshot": ("fewshot", "a supervised meta-gradient, of the library and of loops over tasks by higher and torchopt"),
    "seeds": ("seeds", "several training seeds, by a process each and by one command"),
    "algorithm-costs": ("algorithm_costs", "one iteration of every method, and the share of its network"),
    "workers": ("workers", "a declared family's sub-environments beside gymnasium's SyncVectorEnv"),
    "threads": ("threads", "sampling by number of torch's threads, of MuJoCo's threads and of workers"),
    "contention": ("contention", "a training beside busy processes and beside other trainings, by choice of threads"),
    "inner-steps": ("inner_steps", "memory of many inner steps, with and without --inner.checkpointing"),
    "memory": ("memory", "RL2 beside RecurrentPPO of sb3-contrib on the same trials"),
    "mujoco-costs": ("mujoco:costs", "physics of batched stepping: no warm start, and sensors"),
    "scaling": ("scaling", "one MAML-TRPO iteration by one process and by two"),
    "scale-model": ("scaling:model", "seconds of an iteration on many ranks, predicted by a model"),
}
PURPOSE = "Measure the speed of metarl. Use an otherwise idle machine: other programs distort the numbers."

if __name__ == "__main__":
    leave(run_program("benchmarks.speed", PURPOSE, SCRIPTS))
