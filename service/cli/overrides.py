"""Changing a search's body on the command line: `--set train.steps=6000`."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from typing import Any

from service.cli.exits import UsageError

TOP_LEVEL = frozenset({"name", "labels", "note", "priority", "spec", "budget", "resources"})


def parse(text: str) -> tuple[tuple[str, ...], Any]:
    """Read `path=value`: the path by dots, the value as JSON where it is JSON and as text where it is not.

    Paths begin in the spec, so `prune.levels` is `spec.prune.levels`; `budget.deadline_s` and its like stand beside it.

    Raises:
        UsageError: If there is no path.
    """
    name, equals, value = text.partition("=")
    path = tuple(name.strip().split("."))
    if not equals or not all(path):
        raise UsageError(f"--set {text!r}: write it as path=value, for example train.steps=6000")
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = value
    return (path if path[0] in TOP_LEVEL else ("spec", *path)), parsed


def apply(body: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of `body` with the overrides in it, the later ones last; parts that are missing are made.

    Raises:
        UsageError: If a path leads through something that is no object.
    """
    changed = copy.deepcopy(dict(body))
    for text in overrides:
        path, value = parse(text)
        place = changed
        for step in path[:-1]:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise UsageError(f"--set {text!r}: {step!r} is a single value and has no parts")
        place[path[-1]] = value
    return changed


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """Read `name=value` pairs.

    Raises:
        UsageError: If one of them is no pair.
    """
    labels = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--label {text!r}: write it as name=value")
        labels[name] = value
    return labels
