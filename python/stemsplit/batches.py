"""A training's batches, made ahead of their steps."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stemsplit.dsp_arguments import cpus

Batch: TypeAlias = tuple[Tensor, ...]


def batches(
    make: Callable[[int], Batch], steps: range, device: torch.device
) -> Generator[Batch, None, None]:
    """Give the batch of each step, in order; close it to end what makes them.

    The CPU has its own network to run, so a thread makes one batch ahead. A GPU wants more than
    that: there as many processes make them as there are CPUs for each of a team's members, in
    memory that it can fetch from.

    Parameters
    ----------
    make:
        Makes a step's batch, which depends on the step alone.
    steps:
        Their numbers.
    device:
        Where they are wanted; they are on the CPU still.
    """
    if device.type == "cpu" or "fork" not in multiprocessing.get_all_start_methods():
        yield from _by_a_thread(make, steps)
        return
    yield from DataLoader(
        _Made(make),
        batch_size=None,
        sampler=steps,
        num_workers=max(1, cpus() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))),
        multiprocessing_context="fork",
        worker_init_fn=_use_one_cpu,
        pin_memory=device.type == "cuda",
    )


def _use_one_cpu(_worker: int) -> None:
    """Keep a process's transforms to one thread, as torch's loader keeps torch's work."""
    os.environ["STEMSPLIT_NUM_THREADS"] = "1"


def _by_a_thread(make: Callable[[int], Batch], steps: range) -> Generator[Batch, None, None]:
    with ThreadPoolExecutor(1) as pool:
        ahead: deque[Future[Batch]] = deque()
        for step in steps:
            ahead.append(pool.submit(make, step))
            if len(ahead) > 1:
                yield ahead.popleft().result()
        for last in ahead:
            yield last.result()


class _Made(Dataset[Batch]):
    """What a function makes of a step, as torch's loader wants it."""

    def __init__(self, make: Callable[[int], Batch]) -> None:
        self._make = make

    def __getitem__(self, step: int) -> Batch:
        return self._make(step)
