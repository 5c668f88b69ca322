"""The pack engine: many trainings in lockstep on one device, each with its own step, level, rate, mask and seed.

What a pack promises of the bits of one training, by the arithmetic it runs (`lth_core.engines.pack.shape.Variant`):

| arithmetic | repeated, resumed | independent of slot, pack size, neighbours, time of admission |
|---|---|---|
| `own` on a CPU: slot after slot in plain torch | yes | yes |
| `own` on CUDA: one program per (slot, tile), fixed tiles, no atomics, sums in one order | yes | yes |
| `branches`: one single-replicate step per slot by autograd, on a CPU or as branches of one graph | yes | yes |
| `bmm`: batched products of a library | in the same pack size and slot | no |

Nowhere are bits promised between arithmetics, devices, library versions or numbers of threads; there, and towards the
reference, agreement is to rounding over the first steps and statistical afterwards. A segment's length, where the host
stops in it, and a checkpoint carried to another slot of another pack change nothing. A training that diverges keeps its
NaN to itself: neighbours never read its row, and masks select instead of multiplying.
"""

from lth_core.engines.pack.engine import PackEngine

__all__ = ["PackEngine"]
