"""Tables of published results: `python -m benchmarks.results NAME`, a module for each."""
