"""Meta-training: assembly of the parts, the training loop, several seeds in one batch, signals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.training.assembly import Assembly as Assembly
    from metarl.training.assembly import assemble as assemble
    from metarl.training.brief import BriefTraining as BriefTraining
    from metarl.training.loop import Reporter as Reporter
    from metarl.training.loop import Training as Training
    from metarl.training.progress import TrainingDisplay as TrainingDisplay
    from metarl.training.progress import evaluation_progress as evaluation_progress
    from metarl.training.progress import training_display as training_display
    from metarl.training.seeds import train_seeds as train_seeds
    from metarl.training.signals import StopSignals as StopSignals
    from metarl.training.start import opened as opened
    from metarl.training.start import resume as resume
    from metarl.training.start import train as train

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.training.assembly": (
            "Assembly",
            "assemble",
        ),
        "metarl.training.brief": ("BriefTraining",),
        "metarl.training.loop": ("Reporter", "Training"),
        "metarl.training.progress": (
            "TrainingDisplay",
            "evaluation_progress",
            "training_display",
        ),
        "metarl.training.seeds": ("train_seeds",),
        "metarl.training.signals": ("StopSignals",),
        "metarl.training.start": (
            "opened",
            "resume",
            "train",
        ),
    },
)
