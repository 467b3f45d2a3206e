"""The meter of learning behind benchmarks/learning.py: data, networks, figures, results."""
