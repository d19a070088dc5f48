"""What `stemsplit.dsp` makes of its plain arguments before they reach the core."""

from __future__ import annotations

import operator
import os
from typing import Any, SupportsIndex

MAX_THREADS = 256
# Sizes stay far from where 64-bit products of them could wrap.
MAX_SIZE = 2**40


def forced_kernel() -> str:
    """Name the instruction set that the environment forces; empty for the best."""
    return os.environ.get("STEMSPLIT_KERNEL", "")


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
    if not 0 <= samples <= MAX_SIZE:
        raise ValueError(f"{name}: got {samples}, wanted 0 to 2**40")
    return samples


def count(name: str, value: int) -> int:
    """Give a number of channels or the like, at least 1; raises `TypeError` or `ValueError`."""
    number = index(name, value)
    if not 1 <= number <= 2**24:
        raise ValueError(f"{name}: got {number}, wanted 1 to 2**24")
    return number
