"""The work: dispatcher, engines, drivers and the commands that need torch."""
