"""Shared by the benchmarks: two clocks, the machine's own rates, and printing a result."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True)
class Taken:
    """A duration: wall seconds, and processor seconds of this process.

    On a shared machine, processor seconds vary less.
    """

    wall: float
    cpu: float


class Clock:
    """Runs from its construction."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        wait(device)
        self._device, self._wall, self._cpu = device, time.perf_counter(), time.process_time()

    def taken(self) -> Taken:
        """The time since construction."""
        wait(self._device)
        return Taken(time.perf_counter() - self._wall, time.process_time() - self._cpu)


def timed(work: Callable[[], object], device: torch.device | str = "cpu") -> Taken:
    """Time one call."""
    clock = Clock(device)
    work()
    return clock.taken()


def wait(device: torch.device | str) -> None:
    """Wait until a GPU has finished its work."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def medians(times: Sequence[Taken]) -> Taken:
    """The median of each clock."""
    return Taken(
        statistics.median(one.wall for one in times), statistics.median(one.cpu for one in times)
    )


def paired(a: Sequence[Taken], b: Sequence[Taken]) -> tuple[float, float]:
    """The ratio of ``a`` to ``b`` by each clock: the median over pairs."""
    pairs = list(zip(a, b, strict=True))
    by_wall = statistics.median(one.wall / other.wall for one, other in pairs)
    return by_wall, statistics.median(one.cpu / other.cpu for one, other in pairs)


@dataclass(frozen=True)
class Rate:
    """Floating-point operations per second, by each clock."""

    wall: float
    cpu: float


def timed_product(precision: str, device: torch.device | str = "cpu") -> Taken:
    """Multiply two square matrices in "bf16" or "fp32"."""
    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    side = _side(device)
    a, b = (torch.full((side, side), 0.5, dtype=dtype, device=device) for _ in range(2))
    return timed(lambda: a @ b, device)


def rate(times: Sequence[Taken], device: torch.device | str = "cpu") -> Rate:
    """The rate of `timed_product`, from the median of its ``times``."""
    taken, work = medians(times), 2.0 * _side(device) ** 3
    return Rate(work / taken.wall, work / taken.cpu)


def _side(device: torch.device | str) -> int:
    return 8192 if torch.device(device).type == "cuda" else 2048


class _Counter(TorchDispatchMode):
    """torch's FlopCounterMode without counts by module, which `autograd.grad` breaks."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def operations(work: Callable[[], object]) -> float:
    """Count floating-point operations of matrix products and convolutions in a call."""
    with _Counter() as counter:
        work()
    return float(counter.total)


def machine(device: torch.device | str = "cpu") -> dict[str, object]:
    """Processor, versions and threads; ``load`` is the load average of the last minute."""
    where = torch.device(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if os.name == "posix" else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else where.type,
        "cpu": names[0] if names else platform.processor(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
    }


def show(row: Mapping[str, object], table: Mapping[str, Sequence[object]]) -> None:
    """Print the result as one JSON line, and a table of the main numbers.

    The table's first entry is its header.
    """
    print(json.dumps(row, default=str))
    lines = [[name, *map(_cell, cells)] for name, cells in table.items()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        first, *others = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join([first.strip().ljust(widths[0]), *others]))


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
