"""Recipes of the literature as whole submissions; `lth_core.presets` names them."""
