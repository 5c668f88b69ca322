"""Engines against their rivals: the same work, round robin, medians of per-round ratios, gates and rooflines beside.

python -m benchmarks.engine cpu --open-lth CHECKOUT [--jax PYTHON] [--root DATA]
python -m benchmarks.engine gpu ...
python -m benchmarks.engine equivalence
python -m benchmarks.engine report RESULT.json
"""
