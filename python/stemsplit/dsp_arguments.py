"""What `stemsplit.dsp` makes of its plain arguments before they reach the core."""

from __future__ import annotations

import operator
import os
from typing import TYPE_CHECKING, Any, SupportsIndex

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAX_THREADS = 256
# Sizes stay far from where 64-bit products of them could wrap.
MAX_SIZE = 2**40


def forced_kernel() -> str:
    """Name the instruction set that the environment forces; empty for the best."""
    name = os.environ.get("STEMSPLIT_KERNEL", "")
    if not name.isascii():  # bytes that are no text would not reach the core
        raise ValueError(f"STEMSPLIT_KERNEL: got {name!r}, wanted one of available_kernels()")
    return name


def thread_count(threads: int | None) -> int:
    """Give the threads asked for, or by the environment, or one for each CPU."""
    name, value = "threads", threads
    if value is None:
        text = os.environ.get("STEMSPLIT_NUM_THREADS", "")
        if not text:
            return min(cpus(), MAX_THREADS)
        name = "STEMSPLIT_NUM_THREADS"
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"{name}: got {text!r}, wanted 1 to {MAX_THREADS}") from None
    value = index(name, value)
    if not 1 <= value <= MAX_THREADS:
        raise ValueError(f"{name}: got {value}, wanted 1 to {MAX_THREADS}")
    return value


def cpus() -> int:
    """Count the CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def index(name: str, value: SupportsIndex | Any) -> int:
    """Give an integer of whatever kind as `int`; raises `TypeError`."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: got {type(value).__name__}, wanted an integer") from None


def size(name: str, value: int) -> int:
    """Give a number of samples; raises `TypeError` or `ValueError`."""
    samples = index(name, value)
    if not 0 <= samples <= MAX_SIZE:  # of 0 the core tells what it wants instead
        raise ValueError(f"{name}: got {samples}, wanted 1 to 2**40")
    return samples


def count(name: str, value: int) -> int:
    """Give a number of channels or the like, at least 1; raises `TypeError` or `ValueError`."""
    number = index(name, value)
    if not 1 <= number <= 2**24:
        raise ValueError(f"{name}: got {number}, wanted 1 to 2**24")
    return number


def places(name: str, values: npt.NDArray[np.intp]) -> list[int]:
    """Give a row of indices as a list; raises `TypeError` or `ValueError`."""
    row = _row(name, values, "iu", "integers")
    if row.size and row.min() < 0:
        raise ValueError(f"{name}: got {row.min()}, wanted 0 or more")
    if row.size and row.max() >= 2**32:
        raise ValueError(f"{name}: got {row.max()}, wanted less than 2**32")
    found: list[int] = row.tolist()
    return found


def weights(name: str, values: npt.NDArray[np.float32]) -> list[float]:
    """Give a row of numbers as a list; raises `TypeError` or `ValueError`."""
    import numpy as np

    row = _row(name, values, "f", "floats")
    with np.errstate(over="ignore"):
        if not np.isfinite(row.astype(np.float32)).all():
            raise ValueError(f"{name}: got one that is no finite float32, wanted finite ones")
    found: list[float] = row.tolist()
    return found


def _row(name: str, values: npt.NDArray[Any], kinds: str, wanted: str) -> npt.NDArray[Any]:
    import numpy as np  # which completion, that only counts CPUs, has no time for

    if not isinstance(values, np.ndarray):
        raise TypeError(f"{name}: got {type(values).__name__}, wanted a NumPy array of {wanted}")
    if values.dtype.kind not in kinds:
        raise TypeError(f"{name}: got an array of {values.dtype}, wanted {wanted}")
    if values.ndim != 1:
        raise ValueError(f"{name}: got {values.ndim} dimensions, wanted 1")
    return values
