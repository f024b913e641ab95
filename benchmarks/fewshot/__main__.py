"""`python -m benchmarks.fewshot`: the commands of `metarl` on supervised tasks."""

from benchmarks.fewshot.cli import main
from metarl.core.launch import leave

leave(main())
