"""A data set from a folder of images: `train/<class>/<file>` and `test/<class>/<file>`, all of one size."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from lth_core.errors import UserError
from workers.decoded import Decoded, check_size
from workers.image_source import open_source

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
PARTS = ("train", "test")
MAX_PIXELS = 4096 * 4096

_COLOURS = {"1": "L", "L": "L", "LA": "L", "RGB": "RGB", "RGBA": "RGB", "P": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}
"""Pillow's modes of eight bits and what they become; transparency is dropped."""


def decode_image_folder(name: str, path: Path, on_progress: Callable[[int, int], None] | None = None) -> Decoded:
    """Read a data set from an image folder, or from a tar archive of one.

    The examples of a part are sorted by their path, the classes by their name; both orders are therefore the same
    on every machine. Grey images give one channel, all others three; transparency is dropped.

    Args:
        name: Name under which it will be registered.
        path: The folder or the archive; one enclosing folder around `train` and `test` is allowed.
        on_progress: Called with the images decoded so far and their number.

    Raises:
        UserError: If a file is no image, or differs in size or number of channels, naming the file.
    """
    source = open_source(path)
    layout = _layout(source.names(), path)
    decoder = _Decoder(layout)
    for file_name, content in source.files():
        decoder.add(file_name, content)
        if on_progress is not None:
            on_progress(decoder.num_done, len(layout.places))
    decoder.check_complete(path)
    return Decoded(
        name,
        decoder.images["train"],
        layout.labels["train"],
        decoder.images["test"],
        layout.labels["test"],
        layout.classes,
    )


@dataclass(frozen=True)
class _Layout:
    """Where each file goes: part and row, with the labels of each part."""

    places: dict[str, tuple[str, int]]
    labels: dict[str, np.ndarray[Any, np.dtype[np.int64]]]
    classes: tuple[str, ...]


def _layout(names: list[str], path: Path) -> _Layout:
    rows = sorted(_split(name, path) for name in names)
    prefixes = sorted({prefix for prefix, *_ in rows})
    if len(prefixes) > 1:
        raise UserError(f"from: {path} has train and test in several places: {', '.join(map(repr, prefixes))}")
    classes = tuple(sorted({label for _, part, label, _ in rows if part == "train"}))
    places: dict[str, tuple[str, int]] = {}
    labels: dict[str, list[int]] = {part: [] for part in PARTS}
    number = {label: index for index, label in enumerate(classes)}
    for prefix, part, label, file_name in rows:
        full = "/".join(filter(None, (prefix, part, label, file_name)))
        if full in places:
            raise UserError(f"from: {full} stands in {path} twice")
        if label not in number:
            raise UserError(f"from: class {label!r} of {full} has no training image")
        places[full] = (part, len(labels[part]))
        labels[part].append(number[label])
    for part in PARTS:
        if not labels[part]:
            raise UserError(f"from: {path} has no image under {part}/<class>/")
    return _Layout(places, {part: np.asarray(labels[part], np.int64) for part in PARTS}, classes)


def _split(name: str, path: Path) -> tuple[str, str, str, str]:
    """Split a path into enclosing folder, part, class and file name."""
    parts = name.split("/")
    if not 3 <= len(parts) <= 4 or parts[-3] not in PARTS:
        raise UserError(f"from: {name} in {path} does not lie under train/<class>/ or test/<class>/")
    if PurePosixPath(name).suffix.lower() not in SUFFIXES:
        raise UserError(f"from: {name} in {path} has no image's ending ({', '.join(SUFFIXES)})")
    return "/".join(parts[:-3]), parts[-3], parts[-2], parts[-1]


class _Decoder:
    """Decodes files in any order into the rows that the layout gives them."""

    def __init__(self, layout: _Layout) -> None:
        self._layout = layout
        self._first: tuple[str, tuple[int, int, int]] | None = None
        self.images: dict[str, np.ndarray[Any, np.dtype[np.uint8]]] = {}
        self.num_done = 0

    def add(self, name: str, content: bytes) -> None:
        """Decode one file into its row."""
        image = _decode(name, content)
        if self._first is None:
            self._allocate(name, image.shape)
        assert self._first is not None
        first_name, shape = self._first
        if image.shape != shape:
            raise UserError(
                f"from: {name} is {_size_text(image.shape)}, but {first_name} is {_size_text(shape)}; "
                "all images must have one size and one number of channels"
            )
        if name not in self._layout.places:
            raise UserError(f"from: {name} appeared while the folder was read")
        part, row = self._layout.places[name]
        self.images[part][row] = image
        self.num_done += 1

    def check_complete(self, path: Path) -> None:
        """Refuse a folder from which files vanished between listing and reading."""
        if self.num_done != len(self._layout.places):
            raise UserError(f"from: {path} listed {len(self._layout.places)} images, but {self.num_done} were read")

    def _allocate(self, name: str, shape: tuple[int, ...]) -> None:
        channels, height, width = shape
        self._first = name, (channels, height, width)
        check_size(len(self._layout.places), shape)
        for part in PARTS:
            self.images[part] = np.zeros((len(self._layout.labels[part]), *shape), np.uint8)


def _decode(name: str, content: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Decode one image file to uint8 [C, H, W]."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                size = f"{image.width} x {image.height}"
                raise UserError(f"from: {name} has {size} pixels; at most {MAX_PIXELS} are read")
            if image.mode not in _COLOURS:
                known = ", ".join(_COLOURS)
                raise UserError(f"from: {name} has mode {image.mode!r}; images of eight bits are read: {known}")
            wanted = _COLOURS[image.mode]
            pixels = np.asarray(image if image.mode == wanted else image.convert(wanted))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"from: {name} cannot be decoded as an image ({error})") from error
    return pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def _size_text(shape: tuple[int, ...]) -> str:
    channels, height, width = shape
    return f"{width} x {height} pixels with {channels} channel{'s' if channels > 1 else ''}"
