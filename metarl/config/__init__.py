"""Options as typed configurations, presets, validation, and the registry of outer updates. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.config.algorithms import AdamConfig as AdamConfig
    from metarl.config.algorithms import MamlConfig as MamlConfig
    from metarl.config.algorithms import MamlOptions as MamlOptions
    from metarl.config.algorithms import MamlTrpoConfig as MamlTrpoConfig
    from metarl.config.algorithms import PretrainConfig as PretrainConfig
    from metarl.config.algorithms import PretrainOptions as PretrainOptions
    from metarl.config.algorithms import PrompConfig as PrompConfig
    from metarl.config.algorithms import ReptileConfig as ReptileConfig
    from metarl.config.algorithms import ReptileOptions as ReptileOptions
    from metarl.config.algorithms import TrustRegionConfig as TrustRegionConfig
    from metarl.config.commands import AdaptOptions as AdaptOptions
    from metarl.config.commands import CheckOptions as CheckOptions
    from metarl.config.commands import CompareOptions as CompareOptions
    from metarl.config.commands import EvaluateOptions as EvaluateOptions
    from metarl.config.commands import ExportOptions as ExportOptions
    from metarl.config.commands import FamiliesOptions as FamiliesOptions
    from metarl.config.commands import FamilyResumeOptions as FamilyResumeOptions
    from metarl.config.commands import ReportOptions as ReportOptions
    from metarl.config.commands import ReproduceOptions as ReproduceOptions
    from metarl.config.commands import ResumeOptions as ResumeOptions
    from metarl.config.commands import RunOptions as RunOptions
    from metarl.config.commands import RunsOptions as RunsOptions
    from metarl.config.commands import TasksOptions as TasksOptions
    from metarl.config.commands import TuneOptions as TuneOptions
    from metarl.config.commands import WhereOptions as WhereOptions
    from metarl.config.commands import WorthOptions as WorthOptions
    from metarl.config.evaluation import Evaluation as Evaluation
    from metarl.config.evaluation import FamilyEvaluation as FamilyEvaluation
    from metarl.config.evaluation import ReferenceOptions as ReferenceOptions
    from metarl.config.evaluation import Worth as Worth
    from metarl.config.memory import MemoryPolicyConfig as MemoryPolicyConfig
    from metarl.config.memory import PpoConfig as PpoConfig
    from metarl.config.memory import Rl2Config as Rl2Config
    from metarl.config.protocols import Protocol as Protocol
    from metarl.config.protocols import find_protocol as find_protocol
    from metarl.config.protocols import protocol_files as protocol_files
    from metarl.config.registry import ALGORITHMS as ALGORITHMS
    from metarl.config.registry import REINFORCEMENT_LEARNING as REINFORCEMENT_LEARNING
    from metarl.config.registry import Algorithm as Algorithm
    from metarl.config.registry import ProblemKind as ProblemKind
    from metarl.config.registry import find_algorithm as find_algorithm
    from metarl.config.run import AdaptationConfig as AdaptationConfig
    from metarl.config.run import EarlyStopConfig as EarlyStopConfig
    from metarl.config.run import InnerConfig as InnerConfig
    from metarl.config.run import NetworkConfig as NetworkConfig
    from metarl.config.run import PolicyConfig as PolicyConfig
    from metarl.config.run import RunConfig as RunConfig
    from metarl.config.run import TrainConfig as TrainConfig
    from metarl.config.run import at_iteration as at_iteration
    from metarl.config.run import context_misfits as context_misfits
    from metarl.config.run import fields_of as fields_of
    from metarl.config.run import has_schedule as has_schedule
    from metarl.config.run import option_name as option_name
    from metarl.config.run import value_of as value_of
    from metarl.config.sb3 import ON_POLICY as ON_POLICY
    from metarl.config.sb3 import PretrainSb3Config as PretrainSb3Config
    from metarl.config.sb3 import ReptileSb3Config as ReptileSb3Config
    from metarl.config.sb3 import Sb3Config as Sb3Config
    from metarl.config.sb3 import Sb3Options as Sb3Options
    from metarl.config.schedules import ScheduleOptions as ScheduleOptions
    from metarl.config.schedules import rate_factor as rate_factor
    from metarl.config.toml import flat_mapping as flat_mapping
    from metarl.config.toml import from_mapping as from_mapping
    from metarl.config.toml import load_preset as load_preset
    from metarl.config.toml import preset_or_default as preset_or_default
    from metarl.config.toml import presets as presets
    from metarl.config.toml import read_toml as read_toml
    from metarl.config.toml import to_mapping as to_mapping
    from metarl.config.toml import unset_mapping as unset_mapping
    from metarl.config.toml import unset_options as unset_options
    from metarl.config.validation import INNER_OPTIMISERS as INNER_OPTIMISERS
    from metarl.config.validation import check_least as check_least
    from metarl.config.validation import check_rates as check_rates
    from metarl.config.validation import json_object as json_object
    from metarl.config.validation import json_value as json_value
    from metarl.config.validation import validate as validate

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.config.algorithms": (
            "AdamConfig",
            "MamlConfig",
            "MamlOptions",
            "MamlTrpoConfig",
            "PretrainConfig",
            "PretrainOptions",
            "PrompConfig",
            "ReptileConfig",
            "ReptileOptions",
            "TrustRegionConfig",
        ),
        "metarl.config.commands": (
            "AdaptOptions",
            "CheckOptions",
            "CompareOptions",
            "EvaluateOptions",
            "ExportOptions",
            "FamiliesOptions",
            "FamilyResumeOptions",
            "ReproduceOptions",
            "ReportOptions",
            "ResumeOptions",
            "RunOptions",
            "RunsOptions",
            "TasksOptions",
            "TuneOptions",
            "WhereOptions",
            "WorthOptions",
        ),
        "metarl.config.evaluation": (
            "Evaluation",
            "FamilyEvaluation",
            "ReferenceOptions",
            "Worth",
        ),
        "metarl.config.memory": (
            "MemoryPolicyConfig",
            "PpoConfig",
            "Rl2Config",
        ),
        "metarl.config.protocols": (
            "Protocol",
            "find_protocol",
            "protocol_files",
        ),
        "metarl.config.registry": (
            "ALGORITHMS",
            "Algorithm",
            "ProblemKind",
            "REINFORCEMENT_LEARNING",
            "find_algorithm",
        ),
        "metarl.config.run": (
            "AdaptationConfig",
            "EarlyStopConfig",
            "InnerConfig",
            "NetworkConfig",
            "PolicyConfig",
            "RunConfig",
            "TrainConfig",
            "at_iteration",
            "context_misfits",
            "fields_of",
            "has_schedule",
            "option_name",
            "value_of",
        ),
        "metarl.config.sb3": (
            "ON_POLICY",
            "PretrainSb3Config",
            "ReptileSb3Config",
            "Sb3Config",
            "Sb3Options",
        ),
        "metarl.config.schedules": (
            "ScheduleOptions",
            "rate_factor",
        ),
        "metarl.config.toml": (
            "flat_mapping",
            "from_mapping",
            "load_preset",
            "preset_or_default",
            "presets",
            "read_toml",
            "to_mapping",
            "unset_mapping",
            "unset_options",
        ),
        "metarl.config.validation": (
            "INNER_OPTIMISERS",
            "check_least",
            "check_rates",
            "json_object",
            "json_value",
            "validate",
        ),
    },
)
