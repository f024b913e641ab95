"""`python -m metarl` is `metarl`."""

from metarl.cli import main
from metarl.launch import leave

leave(main())
