"""Analyses of what a search left behind: pure functions of masks, weights and networks."""
