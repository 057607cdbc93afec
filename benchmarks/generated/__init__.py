"""Random models that are right by construction, and one mistake each: see benchmarks/generated.py."""
