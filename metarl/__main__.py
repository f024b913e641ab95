"""`python -m metarl`: the command line `metarl`."""

from __future__ import annotations

from metarl.cli import main
from metarl.core.launch import leave

leave(main())
