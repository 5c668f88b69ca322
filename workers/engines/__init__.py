"""Engines: what trains levels, behind one protocol."""
