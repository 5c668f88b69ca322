"""The switches on which the bits of a training depend, set in one place."""

from __future__ import annotations

import torch


def pin(threads: int) -> None:
    """Fix threads and deterministic arithmetic in the calling thread; call it where the training runs.

    TF32 and cudnn's benchmark mode are off, unknown deterministic forms are errors, denormals are kept.
    On CUDA, `CUBLAS_WORKSPACE_CONFIG=:4096:8` must be in the environment before CUDA starts.
    """
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
    torch.set_deterministic_debug_mode("error")  # as use_deterministic_algorithms(True), without loading a compiler
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
