"""Pictures of README and documentation, from runs on 2-D navigation: `python -m benchmarks.pictures`."""
