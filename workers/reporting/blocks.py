"""The pieces a written report is made of, the same for every form it is written in."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Notice:
    """A paragraph that must not be overlooked."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Terms:
    """Terms and what they say."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """A table; its first column names the row.

    Attributes:
        caption: What it shows.
        head: Names of the columns.
        rows: Cells, as many per row as there are names.
        text_columns: Columns of words, which are set flush left.
        adverse_columns: Columns in which yes is bad news.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: frozenset[int] = frozenset()
    adverse_columns: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Drawing:
    """A figure by its id."""

    id: str
    title: str
    caption: str


@dataclass(frozen=True)
class Code:
    """Text that is to be copied as it is."""

    text: str
    language: str


Block = Text | Notice | Bullets | Terms | Table | Drawing | Code


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it."""

    title: str
    blocks: tuple[Block, ...] = field(default=())


@dataclass(frozen=True)
class Written:
    """A whole report in words.

    Attributes:
        title: Name of the search.
        subtitle: What was searched for, where.
        sections: Its parts in order.
    """

    title: str
    subtitle: str
    sections: tuple[Section, ...]
