"""Timings, each against a baseline in the same run. `python -m benchmarks` runs them all."""
