"""Analyses as the service makes them: what a search stored, read from its record, through the core's functions."""
