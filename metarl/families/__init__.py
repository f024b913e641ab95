"""Task families: tasks, splits, and vector environments. Imports no torch before an environment is stepped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.families.analytic import AnalyticFamily as AnalyticFamily
    from metarl.families.declared import DeclaredFamily as DeclaredFamily
    from metarl.families.declared import declare_family as declare_family
    from metarl.families.family import SyncTaskVectorEnv as SyncTaskVectorEnv
    from metarl.families.family import TaskFamily as TaskFamily
    from metarl.families.family import known_variant as known_variant
    from metarl.families.ids.installed import registered as registered
    from metarl.families.mujoco import Motion as Motion
    from metarl.families.mujoco import MujocoFamily as MujocoFamily
    from metarl.families.mujoco import MujocoVectorEnv as MujocoVectorEnv
    from metarl.families.mujoco import actions_in_words as actions_in_words
    from metarl.families.observe_task import ShowTasks as ShowTasks
    from metarl.families.registry import family_name as family_name
    from metarl.families.registry import family_variants as family_variants
    from metarl.families.registry import file_of_family as file_of_family
    from metarl.families.registry import handed_over as handed_over
    from metarl.families.registry import has_no_name as has_no_name
    from metarl.families.registry import load_family as load_family
    from metarl.families.splits import SPLITS as SPLITS
    from metarl.families.splits import ListedSplits as ListedSplits
    from metarl.families.splits import Splits as Splits
    from metarl.families.splits import UniformSplits as UniformSplits
    from metarl.families.splits import check_split as check_split
    from metarl.families.splits import held_out_generator as held_out_generator
    from metarl.families.splits import shared_splits as shared_splits
    from metarl.families.tasks import Task as Task
    from metarl.families.tasks import Tasks as Tasks
    from metarl.families.tasks import batch_tasks as batch_tasks
    from metarl.families.tasks import join_tasks as join_tasks
    from metarl.families.tasks import number_of_tasks as number_of_tasks
    from metarl.families.tasks import parse_task as parse_task
    from metarl.families.tasks import read_tasks as read_tasks
    from metarl.families.tasks import take_tasks as take_tasks
    from metarl.families.tasks import task_at as task_at
    from metarl.families.tasks import task_ids as task_ids
    from metarl.families.tasks import task_to_json as task_to_json
    from metarl.families.tasks import write_tasks as write_tasks
    from metarl.families.vec_env import GymVecEnv as GymVecEnv
    from metarl.families.vec_env import VecEnv as VecEnv
    from metarl.families.vec_env import make_vec_env as make_vec_env
    from metarl.families.vector import environment_faults as environment_faults

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.families.analytic": ("AnalyticFamily",),
        "metarl.families.declared": (
            "DeclaredFamily",
            "declare_family",
        ),
        "metarl.families.family": (
            "SyncTaskVectorEnv",
            "TaskFamily",
            "known_variant",
        ),
        "metarl.families.ids.installed": ("registered",),
        "metarl.families.mujoco": (
            "Motion",
            "MujocoFamily",
            "MujocoVectorEnv",
            "actions_in_words",
        ),
        "metarl.families.observe_task": ("ShowTasks",),
        "metarl.families.registry": (
            "family_name",
            "family_variants",
            "file_of_family",
            "handed_over",
            "has_no_name",
            "load_family",
        ),
        "metarl.families.splits": (
            "ListedSplits",
            "SPLITS",
            "Splits",
            "UniformSplits",
            "check_split",
            "held_out_generator",
            "shared_splits",
        ),
        "metarl.families.tasks": (
            "Task",
            "Tasks",
            "batch_tasks",
            "join_tasks",
            "number_of_tasks",
            "parse_task",
            "read_tasks",
            "take_tasks",
            "task_at",
            "task_ids",
            "task_to_json",
            "write_tasks",
        ),
        "metarl.families.vec_env": (
            "GymVecEnv",
            "VecEnv",
            "make_vec_env",
        ),
        "metarl.families.vector": ("environment_faults",),
    },
)
