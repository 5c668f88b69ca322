"""All randomness of a result: Philox4x32-10 counters in numpy, the same integers on every machine and device.

A draw is a function of (seed, element, step, tensor) and of nothing else: no state is carried along, so
nothing has to be saved to resume, and drawing more or in another order changes no other draw.

References:
    Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", Philox4x32-10.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from lth_core.canonical import canonical_json

NAME = "philox4x32-10"
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ROUNDS = 10
_CHUNK = 1 << 14
"""Elements drawn at a time, so that the ten rounds stay inside a core's cache."""

Words = npt.NDArray[np.uint32]


def seed_key(replicate: int, purpose: str) -> int:
    """Return the 64-bit seed of one purpose ("init", "split", "order", "random_reinit:0" ...) of a replicate.

    It is the first 64 bits of the SHA-256 of the canonical JSON `[replicate, purpose]`, read big-endian.
    """
    return int.from_bytes(hashlib.sha256(canonical_json([replicate, purpose])).digest()[:8], "big")


def philox(key: int, element: npt.NDArray[np.integer], step: int = 0, tensor: int = 0) -> Words:
    """Return the four words of Philox4x32-10 at counters (element, step, tensor, 0).

    Args:
        key: 64-bit seed; its low 32 bits are the first key word.
        element: Numbers of the elements, in [0, 2**32).
        step: Epoch, level or step, in [0, 2**32).
        tensor: Tensor or layer, in [0, 2**32).

    Returns:
        Words of shape [num_elements, 4].

    Raises:
        ValueError: If a counter does not fit into 32 bits.
    """
    for name, value in (("step", step), ("tensor", tensor)):
        if not 0 <= value < 2**32:
            raise ValueError(f"{name} must be >= 0 and < 2**32, got {value}")
    if element.size and not 0 <= int(element.min()) <= int(element.max()) < 2**32:
        raise ValueError("element must be >= 0 and < 2**32")
    x0 = element.astype(np.uint64)
    x1, x2, x3 = np.full_like(x0, step), np.full_like(x0, tensor), np.zeros_like(x0)
    k0, k1 = key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF
    for _ in range(_ROUNDS):
        product0, product1 = x0 * _MULTIPLIERS[0], x2 * _MULTIPLIERS[1]
        x0, x1 = (product1 >> _HALF) ^ x1 ^ np.uint64(k0), product1 & _LOW
        x2, x3 = (product0 >> _HALF) ^ x3 ^ np.uint64(k1), product0 & _LOW
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack([x0, x1, x2, x3], axis=1).astype(np.uint32)


def words(key: int, num: int, *, step: int = 0, tensor: int = 0) -> Words:
    """Return the four words of each of the elements 0..num-1, shape [num, 4]."""
    out = np.empty((num, 4), dtype=np.uint32)
    for start in range(0, num, _CHUNK):
        stop = min(start + _CHUNK, num)
        out[start:stop] = philox(key, np.arange(start, stop), step, tensor)
    return out


def bits64(key: int, num: int, *, step: int = 0, tensor: int = 0) -> npt.NDArray[np.uint64]:
    """Return 64 random bits per element, the first word above the second."""
    drawn = words(key, num, step=step, tensor=tensor).astype(np.uint64)
    return np.asarray(drawn[:, 0] << _HALF | drawn[:, 1])


def permutation(key: int, num: int, *, step: int = 0, tensor: int = 0) -> npt.NDArray[np.int64]:
    """Return a random order of 0..num-1: sorted by (64 random bits, index)."""
    return np.argsort(bits64(key, num, step=step, tensor=tensor), kind="stable").astype(np.int64)


def randint(key: int, num: int, bound: int, *, step: int = 0, tensor: int = 0) -> npt.NDArray[np.int64]:
    """Return `num` integers in [0, bound), by multiplying the first word: (word * bound) >> 32.

    Raises:
        ValueError: If `bound` is not in [1, 2**32].
    """
    if not 1 <= bound <= 2**32:
        raise ValueError(f"bound must be >= 1 and <= 2**32, got {bound}")
    first = words(key, num, step=step, tensor=tensor)[:, 0].astype(np.uint64)
    return np.asarray(first * np.uint64(bound) >> _HALF).astype(np.int64)


def uniforms(key: int, num: int, *, step: int = 0, tensor: int = 0) -> npt.NDArray[np.float32]:
    """Return `num` numbers uniform in the open interval (0, 1), exact in float32: 23 bits of the first word."""
    first = words(key, num, step=step, tensor=tensor)[:, 0] >> np.uint32(9)
    return (first.astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-23)


def normals(key: int, num: int, *, scale: float = 1.0, step: int = 0, tensor: int = 0) -> npt.NDArray[np.float32]:
    """Return `num` normal deviates with standard deviation `scale`, by Box-Muller in float64, rounded to float32.

    Each element uses its own counter: 53 bits of the first two words make the radius, 53 of the last two the angle.
    """
    out = np.empty(num, dtype=np.float32)
    for start in range(0, num, _CHUNK):
        stop = min(start + _CHUNK, num)
        drawn = philox(key, np.arange(start, stop), step, tensor).astype(np.uint64)
        radius = (_fraction53(drawn[:, 0], drawn[:, 1]) + 1.0) * 2.0**-53
        angle = _fraction53(drawn[:, 2], drawn[:, 3]) * 2.0**-53
        out[start:stop] = scale * np.sqrt(-2.0 * np.log(radius)) * np.cos(2.0 * np.pi * angle)
    return out


def _fraction53(high: npt.NDArray[np.uint64], low: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Join two words to an integer of 53 bits, exact as float64."""
    return ((high << np.uint64(21)) | (low >> np.uint64(11))).astype(np.float64)
