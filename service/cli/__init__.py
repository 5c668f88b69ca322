"""The command line `lth`."""
