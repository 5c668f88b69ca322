"""Fixtures that every test folder may use: real servers, each on its own socket or port, and records on them."""

import signal

pytest_plugins = ["tests.support.valkey", "tests.support.stores", "tests.support.records"]

# A shell lets its background jobs ignore Ctrl-C, and children inherit that; tests of Ctrl-C start from the default.
signal.signal(signal.SIGINT, signal.default_int_handler)
