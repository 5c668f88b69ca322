"""Engines: what trains a level, behind one interface; the reference decides what is right."""
