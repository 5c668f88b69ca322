"""Measurements: each script says what it claims, runs it, and keeps the figures in `results/`."""
