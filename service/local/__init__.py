"""The embedded service of one machine: what `lth up` starts, watches and ends."""
