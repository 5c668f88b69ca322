"""Strict reading of JSON bodies: UTF-8, no duplicate members, finite and exact numbers, no NUL, bounded depth."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from service.api.errors import ApiError

MAX_DEPTH = 16
MAX_INT = 2**53
MAX_NUMBER_CHARS = 400


def parse_json(data: bytes) -> Any:
    """Parse bytes as strict JSON.

    Raises:
        ApiError: `bad_json`, for anything that two JSON readers could understand differently.
    """
    if not data.strip():
        _refuse("the body is empty; a JSON object is expected")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ApiError("bad_json", f"the body is not UTF-8 (byte {error.start})") from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except json.JSONDecodeError as error:
        raise ApiError("bad_json", f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ApiError("bad_json", f"nested deeper than {MAX_DEPTH} levels") from None
    _check_depth_and_texts(value)
    return value


def _refuse(detail: str) -> NoReturn:
    raise ApiError("bad_json", detail)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        _refuse("an object has a member twice")
    return members


def _constant(name: str) -> NoReturn:
    _refuse(f"{name} is not a JSON number")


def _float(text: str) -> float:
    value = float(text) if len(text) <= MAX_NUMBER_CHARS else math.inf
    if not math.isfinite(value):
        _refuse("a number is too large")
    return value


def _int(text: str) -> int:
    if len(text) > MAX_NUMBER_CHARS or abs(value := int(text)) > MAX_INT:
        _refuse("an integer is beyond 2^53, which not every reader keeps exactly")
    return value


def _check_depth_and_texts(root: Any) -> None:
    waiting: list[tuple[Any, int]] = [(root, 0)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, dict | list):
            if depth >= MAX_DEPTH:
                _refuse(f"nested deeper than {MAX_DEPTH} levels")
            if isinstance(value, dict):
                waiting.extend((key, depth) for key in value)
            waiting.extend((member, depth + 1) for member in (value.values() if isinstance(value, dict) else value))


def _check_text(text: str) -> None:
    if "\0" in text:
        _refuse("a text holds a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ApiError("bad_json", "a text holds a lone surrogate") from None
