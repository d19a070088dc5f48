"""What has come and waits to be taken, in other lengths than it came."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt


class Backlog:
    """Arrays that go on from each other along one axis; one thread may add while another takes.

    Attributes
    ----------
    count:
        How long they are together.
    """

    def __init__(self, axis: int = 1) -> None:
        self.count = 0
        self._axis = axis
        self._waiting: deque[npt.NDArray[Any]] = deque()
        self._guard = threading.Lock()

    def add(self, array: npt.NDArray[Any]) -> None:
        """Put one more behind the others."""
        with self._guard:
            self._waiting.append(array)
            self.count += array.shape[self._axis]

    def take(self, count: int) -> npt.NDArray[Any]:
        """Give the first so many; at least one array has come, as that tells the shape.

        Raises
        ------
        ValueError
            More than there are.
        """
        with self._guard:
            if count > self.count:
                raise ValueError(f"too many: got {count}, wanted at most {self.count}")
            self.count -= count
            parts = self._parts(count)
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=self._axis)

    def _parts(self, count: int) -> list[npt.NDArray[Any]]:
        parts: list[npt.NDArray[Any]] = []
        while count or not parts:
            part, rest = np.split(self._waiting.popleft(), [count], axis=self._axis)
            if rest.shape[self._axis] or not self._waiting:  # the last one tells the shape
                self._waiting.appendleft(rest)
            if part.shape[self._axis] or not count:
                parts.append(part)
            count -= part.shape[self._axis]
        return parts
