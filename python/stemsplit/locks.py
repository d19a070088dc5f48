"""Locks on folders, by which processes keep out of each other's way."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType


class FolderLock:
    """A lock on a folder that ends with the process; where the system has none, it is free.

    Attributes
    ----------
    held:
        Whether it could be had.
    sure:
        Whether nobody else can hold it then: not where there are no locks.
    """

    def __init__(self, folder: Path, *, wait: bool = True) -> None:
        self._folder = folder
        self._wait = wait
        self._descriptor: int | None = None
        self.held = False
        self.sure = False

    def __enter__(self) -> FolderLock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock; without ``wait``, ``held`` tells whether it could be had."""
        try:
            import fcntl
        except ImportError:
            self.held = True
            return
        self._descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | (0 if self._wait else fcntl.LOCK_NB))
            self.held = self.sure = True
        except BlockingIOError:
            self.held = False
        except OSError:  # a file system without locks
            self.held = True

    def release(self) -> None:
        """Let go of the lock; harmless when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
