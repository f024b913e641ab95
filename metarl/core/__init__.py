"""Shared by all rooms: errors, random numbers, parameters, collectives over ranks and seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.core.collectives import broadcast_to_tasks as broadcast_to_tasks
    from metarl.core.collectives import global_num_tasks as global_num_tasks
    from metarl.core.collectives import mean_over_tasks as mean_over_tasks
    from metarl.core.collectives import repeat_per_task as repeat_per_task
    from metarl.core.collectives import shared_by_ranks as shared_by_ranks
    from metarl.core.collectives import sum_over_tasks as sum_over_tasks
    from metarl.core.errors import CallbackFault as CallbackFault
    from metarl.core.errors import ConfigError as ConfigError
    from metarl.core.errors import Divergence as Divergence
    from metarl.core.errors import EnvironmentFault as EnvironmentFault
    from metarl.core.errors import FamilyError as FamilyError
    from metarl.core.errors import MetarlError as MetarlError
    from metarl.core.errors import RunError as RunError
    from metarl.core.errors import WorkerFault as WorkerFault
    from metarl.core.errors import in_python_words as in_python_words
    from metarl.core.errors import in_words as in_words
    from metarl.core.errors import nearest as nearest
    from metarl.core.imports import after_import as after_import
    from metarl.core.imports import import_attribute as import_attribute
    from metarl.core.imports import is_file_name as is_file_name
    from metarl.core.imports import is_module_itself as is_module_itself
    from metarl.core.imports import name_in_file as name_in_file
    from metarl.core.launch import SHORT_SPIN as SHORT_SPIN
    from metarl.core.launch import leave as leave
    from metarl.core.launch import pin_threads as pin_threads
    from metarl.core.launch import place_of_launch as place_of_launch
    from metarl.core.launch import restarts as restarts
    from metarl.core.launch import shorten_spin as shorten_spin
    from metarl.core.launch import thread_environment as thread_environment
    from metarl.core.launch import threads_of_user as threads_of_user
    from metarl.core.launch import usable_cores as usable_cores
    from metarl.core.machine import DTYPES as DTYPES
    from metarl.core.machine import check_device as check_device
    from metarl.core.machine import choose_threads as choose_threads
    from metarl.core.machine import generators_restored as generators_restored
    from metarl.core.machine import keep_freed_memory as keep_freed_memory
    from metarl.core.machine import torch_threads as torch_threads
    from metarl.core.numbers import finite as finite
    from metarl.core.numbers import finite_list as finite_list
    from metarl.core.numbers import number_text as number_text
    from metarl.core.numbers import words as words
    from metarl.core.numbers import write_json as write_json
    from metarl.core.ordered_sums import on_share as on_share
    from metarl.core.ordered_sums import parts_of as parts_of
    from metarl.core.params import CONTEXT as CONTEXT
    from metarl.core.params import MEMORY as MEMORY
    from metarl.core.params import RATE as RATE
    from metarl.core.params import STATISTICS as STATISTICS
    from metarl.core.params import Params as Params
    from metarl.core.params import State as State
    from metarl.core.params import TaskParams as TaskParams
    from metarl.core.params import tree_where as tree_where
    from metarl.core.prng import Key as Key
    from metarl.core.prng import fold as fold
    from metarl.core.prng import noise_seeds as noise_seeds
    from metarl.core.prng import normal as normal
    from metarl.core.prng import uniform as uniform
    from metarl.core.ranks import ALONE as ALONE
    from metarl.core.ranks import all_reduce_max as all_reduce_max
    from metarl.core.ranks import broadcast_rank0 as broadcast_rank0
    from metarl.core.ranks import broadcast_state as broadcast_state
    from metarl.core.ranks import current as current
    from metarl.core.ranks import process_group as process_group
    from metarl.core.ranks import sync_errors as sync_errors
    from metarl.core.ranks import use_ranks as use_ranks
    from metarl.core.seed_axis import by_seed as by_seed
    from metarl.core.seed_axis import flat as flat
    from metarl.core.seed_axis import seeds_axis as seeds_axis
    from metarl.core.seed_axis import stacked as stacked
    from metarl.core.seed_axis import state_of as state_of
    from metarl.core.seed_axis import tasks_of_a_seed as tasks_of_a_seed
    from metarl.core.seed_axis import use_seed_axis as use_seed_axis
    from metarl.core.timing import Phases as Phases

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.core.collectives": (
            "broadcast_to_tasks",
            "global_num_tasks",
            "mean_over_tasks",
            "repeat_per_task",
            "shared_by_ranks",
            "sum_over_tasks",
        ),
        "metarl.core.errors": (
            "CallbackFault",
            "ConfigError",
            "Divergence",
            "EnvironmentFault",
            "FamilyError",
            "MetarlError",
            "RunError",
            "WorkerFault",
            "in_python_words",
            "in_words",
            "nearest",
        ),
        "metarl.core.imports": (
            "after_import",
            "import_attribute",
            "is_file_name",
            "is_module_itself",
            "name_in_file",
        ),
        "metarl.core.launch": (
            "SHORT_SPIN",
            "leave",
            "pin_threads",
            "place_of_launch",
            "restarts",
            "shorten_spin",
            "thread_environment",
            "threads_of_user",
            "usable_cores",
        ),
        "metarl.core.machine": (
            "DTYPES",
            "check_device",
            "choose_threads",
            "generators_restored",
            "keep_freed_memory",
            "torch_threads",
        ),
        "metarl.core.numbers": (
            "finite",
            "finite_list",
            "number_text",
            "words",
            "write_json",
        ),
        "metarl.core.ordered_sums": (
            "on_share",
            "parts_of",
        ),
        "metarl.core.params": (
            "CONTEXT",
            "MEMORY",
            "Params",
            "RATE",
            "STATISTICS",
            "State",
            "TaskParams",
            "tree_where",
        ),
        "metarl.core.prng": (
            "Key",
            "fold",
            "noise_seeds",
            "normal",
            "uniform",
        ),
        "metarl.core.ranks": (
            "ALONE",
            "all_reduce_max",
            "broadcast_rank0",
            "broadcast_state",
            "current",
            "process_group",
            "sync_errors",
            "use_ranks",
        ),
        "metarl.core.seed_axis": (
            "by_seed",
            "flat",
            "seeds_axis",
            "stacked",
            "state_of",
            "tasks_of_a_seed",
            "use_seed_axis",
        ),
        "metarl.core.timing": ("Phases",),
    },
)
