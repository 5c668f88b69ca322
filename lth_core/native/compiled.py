"""The compiled kernels, where they were built and this machine can run them; importing this needs neither."""

from __future__ import annotations

import ctypes
import hashlib
from ctypes import POINTER, c_char_p, c_double, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from lth_core.native.structs import NetworkStruct

HERE = Path(__file__).parent
NAME = "_kernels"
_NETWORK = POINTER(NetworkStruct)
_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "lth_supported": (c_int32, []),
    "lth_sources": (c_char_p, []),
    "lth_train": (None, [_NETWORK, *[c_void_p] * 4, c_int64, c_int64, c_void_p, c_void_p]),
    "lth_evaluate": (c_double, [_NETWORK, c_void_p, c_void_p, c_int64, c_void_p]),
    "lth_tiles": (None, [c_void_p, c_void_p, c_int64, c_int32, c_void_p]),
    "lth_permutation": (None, [c_uint64, c_uint32, c_int64, c_int32, *[c_void_p] * 4]),
    "lth_exp": (None, [c_void_p, c_void_p, c_int64]),
    "lth_log": (None, [c_void_p, c_void_p, c_int64]),
}


class NativeUnavailableError(RuntimeError):
    """The kernels were not built, not from these sources, or not for this machine."""


def sources_sha256(folder: Path) -> str:
    """Return the SHA-256 of all C files of a folder, their names and contents in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.[ch]")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def load() -> ctypes.CDLL:
    """Return the library with its functions declared; calls release the interpreter lock.

    Raises:
        NativeUnavailableError: If there is none that fits, with the reason.
    """
    path = next(
        (HERE / f"{NAME}{suffix}" for suffix in EXTENSION_SUFFIXES if (HERE / f"{NAME}{suffix}").exists()), None
    )
    if path is None:
        raise NativeUnavailableError("the native kernels are not built: install the project where a C compiler is")
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise NativeUnavailableError(f"the native kernels cannot be loaded: {error}") from error
    built_from = library.lth_sources().decode()
    if (HERE / "source").is_dir() and sources_sha256(HERE / "source") != built_from:
        raise NativeUnavailableError("the native kernels were built from other sources: install the project again")
    if not library.lth_supported():
        raise NativeUnavailableError("the native kernels need AVX2 and FMA on x86-64, or aarch64")
    return library


def available() -> bool:
    """Whether the kernels can be used here."""
    return reason() is None


def reason() -> str | None:
    """Return why the kernels cannot be used here, None if they can."""
    try:
        load()
    except NativeUnavailableError as error:
        return str(error)
    return None


def identity() -> str:
    """Return the digest of the sources the kernels were built from: part of what a result's bits depend on.

    Raises:
        NativeUnavailableError: If there are none.
    """
    return str(load().lth_sources().decode())
