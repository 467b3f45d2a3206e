"""The stages of `benchmarks/gpu.py`, by subject."""
