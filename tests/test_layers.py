"""Imports run one way, and what must be quick to start imports no torch."""

import ast
import resource
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "metarl"

LAYERS = [
    {"errors", "importing", "allocation", "durable", "launch"},
    {"config"},
    {"sb3_config"},
    {"known_algorithms", "validation"},
    {"domains"},
    {"config_files", "manifest", "types", "tasks", "randomness", "trajectories"},
    {"ranks", "seeds_axis"},
    {"reductions", "turns", "stop_signals", "threads", "timing"},
    {"families", "success"},
    {"normalisation"},
    {"declared", "policies", "convolution", "returns", "inner", "plugins", "mujoco_family", "sync_lanes"},
    {"losses", "packing", "analytic_lanes", "host_lanes", "worker", "mujoco_lanes", "trust_region"},
    {"worker_lanes"},
    {"lanes", "subject"},
    {"rollout", "task_promises", "episode_promises"},
    {"problem", "checking"},
    {"adaptation", "evaluation", "outer", "supervised"},
    {"algorithms"},
    {"builder", "checkpoint", "run_directory", "soundness", "tensorboard_events"},
    {"workload", "runs"},
    {"training", "agent", "initialisation", "sb3"},
    {"seed_batch"},
    {"seeds"},
    {"api", "adapting", "display", "plots"},
    {"comparison"},
    {"options", "complaints"},
    {"command_line"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def imported_modules(path):
    """Modules of metarl that a file imports when it is loaded or, one layer up, inside a function."""
    tree = ast.parse(path.read_text())
    late = {node for function in ast.walk(tree) if isinstance(function, ast.FunctionDef) for node in ast.walk(function)}
    guarded = {
        n
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for n in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("metarl", "metarl_envs"):
            yield node.module, node in late or node in guarded


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts in (("__init__",), ("presets", "__init__")):
        return
    own = LEVEL[parts[0]]
    for module, deferred in imported_modules(path):
        assert not module.startswith("metarl_envs"), f"{path.name} imports {module}"
        names = module.split(".")
        if len(names) == 1 or deferred:
            continue
        assert LEVEL[names[1]] <= own, f"{path.name} imports {module} from a higher layer"
        if parts[0] == "algorithms" and names[1] == "algorithms":
            pytest.fail(f"algorithms import each other: {path.name} imports {module}")


@pytest.mark.parametrize(
    "module",
    [
        "metarl",
        "metarl.cli",
        "metarl.config",
        "metarl.domains",
        "metarl.families",
        "metarl.plugins",
        "metarl.runs",
        "metarl.display",
        "metarl_envs.navigation2d",
        "metarl.worker",
        "metarl_envs.half_cheetah",
    ],
)
def test_light_modules_load_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def processor_time():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_is_instant():
    for arguments in (["--help"], ["train", "maml-trpo", "--help"], ["evaluate", "--help"]):
        elapsed = []
        for _ in range(3):
            # Processor time, which a busy machine does not stretch.
            start = processor_time()
            done = subprocess.run(
                [sys.executable, "-m", "metarl", *arguments], capture_output=True, text=True, check=True
            )
            elapsed.append(processor_time() - start)
        assert "usage" in done.stdout
        assert min(elapsed) < 0.5, f"{arguments}: {min(elapsed):.2f} s"
