"""The report of a search, in the forms in which it can be read, cited and drawn."""
