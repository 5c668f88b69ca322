"""The entries by which a search and the paper it rests on are cited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PAPER_KEY = "frankle2019lottery"
PAPER = """@inproceedings{frankle2019lottery,
  author = {Frankle, Jonathan and Carbin, Michael},
  title = {The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks},
  booktitle = {International Conference on Learning Representations},
  year = {2019},
  eprint = {1803.03635},
  archiveprefix = {arXiv},
}
"""
_SPECIAL = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}"} | {c: f"\\{c}" for c in "&%$#_"}
_SPECIAL |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def bibtex(document: Mapping[str, Any]) -> str:
    """Return a search's own entry, with the digests that name it, and the paper's."""
    search, digests = document["search"], document["digests"]
    recipe = document["recipe"]
    title = f"{search['name']}: lottery ticket search of {recipe['model']['name']} on {recipe['dataset']['name']}"
    note = [f"specification sha256:{digests['spec']}", f"data set sha256:{digests['dataset']}"]
    if digests["results"]:
        note.append(f"results sha256:{digests['results']}")
    if not search["complete"]:
        note.append(f"still {search['status']}, {search['levels_committed']} of {search['levels_planned']} levels")
    year, month = search["created_at"][:4], search["created_at"][5:7]
    fields = {
        "title": "{" + _escape(title) + "}",
        "howpublished": _escape(f"Lottery ticket search {search['id']}"),
        "year": year,
        "month": str(int(month)),
        "note": _escape("; ".join(note)),
    }
    key = search["id"].removeprefix("srch_").lower()
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@misc{{lts{key},\n{lines}}}\n\n{PAPER}"


def _escape(text: str) -> str:
    return "".join(_SPECIAL.get(char, char) for char in " ".join(text.split()))
