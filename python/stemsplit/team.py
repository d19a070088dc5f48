"""Several processes that train one network together, as torchrun starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed, nn

_T = TypeVar("_T")


# The first process decodes whole collections and validates while the others wait.
_PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class Team:
    """The processes of a training; one alone is a team too.

    Attributes
    ----------
    rank:
        Number of this process; the first, 0, validates, writes and talks.
    size:
        How many processes there are.
    """

    rank: int = 0
    size: int = 1

    def wrapped(self, lesson: nn.Module) -> nn.Module:
        """Give a module whose gradients are the mean over the team's (DistributedDataParallel)."""
        if self.size == 1:
            return lesson
        return nn.parallel.DistributedDataParallel(lesson)

    def told(self, value: _T) -> _T:
        """Give the first process's value to all; each waits for it here."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0)
        return values[0]


def local_device(device: torch.device) -> torch.device:
    """Give this process its own CUDA device, where torchrun has started several."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


@contextmanager
def join(device: torch.device) -> Iterator[Team]:
    """Join the processes that torchrun started, or be alone where it started none."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Team()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield Team(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
