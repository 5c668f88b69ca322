"""Who gets the next free engine: first come first served within a search, searches in turn."""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Waiting items of several searches; the search that was served last goes to the end of the line."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, list[tuple[int, T]]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def __iter__(self) -> Iterator[T]:
        """Items in the order in which they would be served, ignoring the turns to come."""
        for line in self._lines.values():
            yield from (item for _, item in line)

    def push(self, search: str, item: T, *, rank: int = 0) -> None:
        """Let an item wait behind those of its search that have no higher rank."""
        insort(self._lines.setdefault(search, []), (rank, item), key=itemgetter(0))

    def pop(self, fits: Callable[[T], bool]) -> T | None:
        """Take the next item that fits, and send its search to the end of the line; None if none fits."""
        for search, line in self._lines.items():
            for place, (_, item) in enumerate(line):
                if fits(item):
                    del line[place]
                    self._lines.move_to_end(search)
                    if not line:
                        del self._lines[search]
                    return item
        return None

    def discard(self, item: T) -> None:
        """Take an item out of the line, wherever it waits."""
        for search, line in list(self._lines.items()):
            self._lines[search] = left = [entry for entry in line if entry[1] is not item]
            if not left:
                del self._lines[search]
