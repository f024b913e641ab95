"""Measurements of speed and memory: `python -m benchmarks.speed NAME`, a module for each."""
