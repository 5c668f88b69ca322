"""Programs: a body of device work that is run many times, as CUDA graphs captured once or, on a CPU, as it stands.

A body must read and write tensors at fixed addresses only, never read the device from the host, and leave every slot
alone whose clock has run out: it is warmed up with all clocks stopped, so that capturing changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from lth_core.engines.pack.state import Clock

NUM_WARM_UPS = 3


class Program:
    """A body and, on CUDA, its graphs: one of `unroll` repetitions and one of a single one.

    It is captured when it is made. One instance runs once at a time.

    Args:
        body: One step; it ends by ticking the clock.
        clock: What the body advances.
        unroll: Repetitions in the longer graph.
    """

    def __init__(self, body: Callable[[], None], clock: Clock, *, unroll: int = 25) -> None:
        self._body = body
        self._unroll = unroll
        self._device = clock.cursor.device
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        if self._device.type == "cuda":
            self._capture(clock)

    def run(self, times: int) -> None:
        """Repeat the body; on CUDA it is launched, not waited for."""
        if not self._graphs:
            for _ in range(times):
                self._body()
            return
        for size in sorted(self._graphs, reverse=True):
            for _ in range(times // size):
                self._graphs[size].replay()
            times %= size

    def _capture(self, clock: Clock) -> None:
        with torch.cuda.device(self._device):
            clock.start([0] * len(clock.limit))
            stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(stream):
                for _ in range(NUM_WARM_UPS):
                    self._body()
            torch.cuda.current_stream(self._device).wait_stream(stream)
            torch.cuda.synchronize(self._device)
            for size in sorted({1, self._unroll}):
                graph = torch.cuda.CUDAGraph()
                # one stream for warm-up and capture: what libraries keep per stream exists by then
                with torch.cuda.graph(graph, stream=stream):
                    for _ in range(size):
                        self._body()
                self._graphs[size] = graph
            clock.start([0] * len(clock.limit))
            torch.cuda.synchronize(self._device)


class Branches:
    """Streams that fork from the current one and join it again, inside a capture or outside; none on a CPU.

    Args:
        num: Branches.
        device: Where the work runs.
    """

    def __init__(self, num: int, device: torch.device) -> None:
        self._device = device
        self._streams = [torch.cuda.Stream(device) for _ in range(num)] if device.type == "cuda" else []  # type: ignore[no-untyped-call]

    def run(self, bodies: list[Callable[[], None]]) -> None:
        """Run one body per branch, side by side where there are streams, and wait for all of them."""
        if not self._streams:
            for body in bodies:
                body()
            return
        trunk = torch.cuda.current_stream(self._device)
        used = self._streams[: len(bodies)]
        for stream, body in zip(used, bodies, strict=True):
            stream.wait_stream(trunk)
            with torch.cuda.stream(stream):
                body()
        for stream in used:
            trunk.wait_stream(stream)
