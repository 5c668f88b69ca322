"""Fixtures that every test folder may use: real servers, each on its own socket or port, and records on them."""

pytest_plugins = ["tests.support.valkey", "tests.support.stores", "tests.support.records"]
