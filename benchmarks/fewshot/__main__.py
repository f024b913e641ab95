"""`python -m benchmarks.fewshot`: train, resume, evaluate and compare as `metarl` does, on supervised tasks."""

import sys

from benchmarks.fewshot.cli import main

sys.exit(main())
