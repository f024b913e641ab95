"""Adaptation of a model to tasks: the contracts `Problem`, `Adapter` and `Setup`, and the adaptation loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.adaptation.adapter import Adapter as Adapter
    from metarl.adaptation.adapter import AdaptState as AdaptState
    from metarl.adaptation.adapter import GradientAdapter as GradientAdapter
    from metarl.adaptation.adapter import adapt_step as adapt_step
    from metarl.adaptation.adapter import initial_state as initial_state
    from metarl.adaptation.adapter import replay as replay
    from metarl.adaptation.adapter import replay_steps as replay_steps
    from metarl.adaptation.adapter import stack as stack
    from metarl.adaptation.collect import Adaptation as Adaptation
    from metarl.adaptation.collect import adapt as adapt
    from metarl.adaptation.collect import collect_adaptation as collect_adaptation
    from metarl.adaptation.curve import BLOCK as BLOCK
    from metarl.adaptation.curve import AdaptationCurve as AdaptationCurve
    from metarl.adaptation.curve import adaptation_curve as adaptation_curve
    from metarl.adaptation.gradient import AdamDescent as AdamDescent
    from metarl.adaptation.gradient import GradientDescent as GradientDescent
    from metarl.adaptation.gradient import gradient_adapter as gradient_adapter
    from metarl.adaptation.gradient import within_bounds as within_bounds
    from metarl.adaptation.memory import Chunks as Chunks
    from metarl.adaptation.memory import MemoryAdapter as MemoryAdapter
    from metarl.adaptation.memory import Reading as Reading
    from metarl.adaptation.memory import TrialProblem as TrialProblem
    from metarl.adaptation.memory import Trials as Trials
    from metarl.adaptation.parameters import as_trained as as_trained
    from metarl.adaptation.parameters import fitting as fitting
    from metarl.adaptation.parameters import initial_theta as initial_theta
    from metarl.adaptation.problem import ClippedProblem as ClippedProblem
    from metarl.adaptation.problem import Collected as Collected
    from metarl.adaptation.problem import Distribution as Distribution
    from metarl.adaptation.problem import DistributionalProblem as DistributionalProblem
    from metarl.adaptation.problem import Problem as Problem
    from metarl.adaptation.problem import SampledProblem as SampledProblem
    from metarl.adaptation.recompute import recomputed as recomputed
    from metarl.adaptation.setup import ClosableProblem as ClosableProblem
    from metarl.adaptation.setup import Model as Model
    from metarl.adaptation.setup import Setup as Setup
    from metarl.adaptation.setup import open_setup as open_setup

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.adaptation.adapter": (
            "AdaptState",
            "Adapter",
            "GradientAdapter",
            "adapt_step",
            "initial_state",
            "replay",
            "replay_steps",
            "stack",
        ),
        "metarl.adaptation.collect": (
            "Adaptation",
            "adapt",
            "collect_adaptation",
        ),
        "metarl.adaptation.curve": (
            "BLOCK",
            "AdaptationCurve",
            "adaptation_curve",
        ),
        "metarl.adaptation.gradient": (
            "AdamDescent",
            "GradientDescent",
            "gradient_adapter",
            "within_bounds",
        ),
        "metarl.adaptation.memory": (
            "Chunks",
            "MemoryAdapter",
            "Reading",
            "TrialProblem",
            "Trials",
        ),
        "metarl.adaptation.parameters": (
            "as_trained",
            "fitting",
            "initial_theta",
        ),
        "metarl.adaptation.problem": (
            "ClippedProblem",
            "Collected",
            "Distribution",
            "DistributionalProblem",
            "Problem",
            "SampledProblem",
        ),
        "metarl.adaptation.recompute": ("recomputed",),
        "metarl.adaptation.setup": (
            "ClosableProblem",
            "Model",
            "Setup",
            "open_setup",
        ),
    },
)
