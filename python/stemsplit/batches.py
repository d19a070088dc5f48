"""A training's batches, made ahead of their steps."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeAlias

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stemsplit.dsp_arguments import thread_count
from stemsplit.errors import StemsplitError

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

    Raises
    ------
    Exception
        What ``make`` raised, when its batch is wanted.
    """
    if device.type == "cpu" or "fork" not in multiprocessing.get_all_start_methods():
        yield from _by_a_thread(make, steps)
        return
    made = DataLoader(
        _Made(make),
        batch_size=None,
        sampler=steps,
        num_workers=max(1, thread_count(None) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))),
        multiprocessing_context="fork",
        worker_init_fn=_settle,
        pin_memory=device.type == "cuda",
    )
    for batch in made:
        if isinstance(batch, Exception):
            raise batch
        yield batch


@contextmanager
def makers_watched() -> Iterator[None]:
    """Name the death of a process that makes batches, of which torch tells wherever it comes.

    Raises
    ------
    StemsplitError
        One has ended.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else it is told of again and again
        raise StemsplitError(
            "a process that made batches has ended",
            got=str(error).strip().split("\n")[-1],
            remedy="if memory is out, set STEMSPLIT_NUM_THREADS to fewer, or a smaller batch_size",
        ) from error


def _settle(_worker: int) -> None:
    """Keep a process's transforms to one thread, as torch's loader keeps torch's work.

    Ctrl-C is for the process that began it, which ends it.
    """
    os.environ["STEMSPLIT_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _by_a_thread(make: Callable[[int], Batch], steps: range) -> Generator[Batch, None, None]:
    with ThreadPoolExecutor(1) as pool:
        ahead: deque[Future[Batch]] = deque()
        for step in steps:
            ahead.append(pool.submit(make, step))
            if len(ahead) > 1:
                yield ahead.popleft().result()
        for last in ahead:
            yield last.result()


class _Made(Dataset[Batch | Exception]):
    """What a function makes of a step, as torch's loader wants it.

    What it raises with a line for the user is given instead: the loader would make a page of it.
    """

    def __init__(self, make: Callable[[int], Batch]) -> None:
        self._make = make

    def __getitem__(self, step: int) -> Batch | Exception:
        try:
            return self._make(step)
        except (StemsplitError, OSError, MemoryError) as error:
            return error
