"""One set of works for all tests here."""

from tests.support.works import works

__all__ = ["works"]
