"""`python -m benchmarks.fewshot`: train, resume, evaluate and compare as `metarl` does, on supervised tasks."""

from benchmarks.fewshot.cli import main
from metarl.core.launch import leave

leave(main())
