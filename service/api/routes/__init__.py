"""The resources of the REST front, one module each."""
