"""The CPU engine for fully connected networks: native steps whose cost falls with the density."""
