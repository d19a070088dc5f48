"""The mean of several separations of a song, each of which sees it begin a little later.

Where a frame begins is chance, and so is some of what a network gets wrong: the mean of estimates
from frames that begin elsewhere has less of it (the "shift trick" of Défossez et al., "Music source
separation in the waveform domain", 2019, with fractions of a hop instead of random times).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

Audio = npt.NDArray[np.float32]
Separate = Callable[[Iterator[Audio]], Generator[Audio, None, None]]


def delays(shifts: int, hop: float) -> list[int]:
    """Give the samples by which each separation's song begins later, even parts of a hop."""
    return [round(hop * index / shifts) for index in range(shifts)]


def mean_of_shifts(
    blocks: Iterator[Audio], channels: int, delays: Sequence[int], separate: Separate
) -> Generator[Audio, None, None]:
    """Separate a song once for each delay, and give the mean.

    The separations go side by side, so that memory does not grow with the song's length.

    Parameters
    ----------
    blocks:
        The song: float32 (channels, samples) each. Separations may take them from threads of their
        own; each block is taken once.
    channels:
        Rows of every block.
    delays:
        Samples of silence before the song, for each separation.
    separate:
        Gives float32 (stems, channels, samples) blocks for such a song, together as long as it.

    Yields
    ------
    numpy.ndarray
        float32 (stems, channels, samples), together exactly as long as the song.
    """
    song = _Shared(blocks, len(delays))
    passes = [
        _without_first(separate(_later(song.reader(index), channels, delay)), delay)
        for index, delay in enumerate(delays)
    ]
    with ExitStack() as stack:
        for one in passes:  # where one fails, the threads of the others end before the song's file
            stack.enter_context(closing(one))
        yield from _mean(passes)


class _Shared:
    """An iterator that several threads read, each from its beginning."""

    def __init__(self, blocks: Iterator[Audio], readers: int) -> None:
        self._blocks = blocks
        self._waiting: list[deque[Audio]] = [deque() for _ in range(readers)]
        self._guard = threading.Lock()
        self._error: BaseException | None = None

    def reader(self, index: int) -> Iterator[Audio]:
        """Give all blocks, in whichever thread asks for them."""
        while (block := self._next(index)) is not None:
            yield block

    def _next(self, index: int) -> Audio | None:
        with self._guard:
            if not self._waiting[index]:
                block = self._taken()
                if block is None:
                    return None
                for waiting in self._waiting:
                    waiting.append(block)
            return self._waiting[index].popleft()

    def _taken(self) -> Audio | None:
        if self._error is not None:  # else the others would take it for the song's end
            raise self._error
        try:
            return next(self._blocks, None)
        except BaseException as error:
            self._error = error
            raise


def _later(blocks: Iterator[Audio], channels: int, delay: int) -> Iterator[Audio]:
    if delay:
        yield np.zeros((channels, delay), np.float32)
    yield from blocks


def _without_first(
    stems: Generator[Audio, None, None], samples: int
) -> Generator[Audio, None, None]:
    with closing(stems):
        for block in stems:
            skipped = min(samples, block.shape[2])
            samples -= skipped
            yield block[..., skipped:]


def _mean(passes: Sequence[Iterator[Audio]]) -> Iterator[Audio]:
    """Give the mean of streams whose blocks may be of different lengths."""
    if len(passes) == 1:
        yield from passes[0]
        return
    waiting: list[list[Audio]] = [[] for _ in passes]
    for blocks in zip_longest(*passes):
        for pieces, block in zip(waiting, blocks, strict=True):
            if block is not None:
                pieces.append(block)
        if any(not pieces for pieces in waiting):
            continue
        joined = [np.concatenate(pieces, axis=2) for pieces in waiting]
        ready = min(stems.shape[2] for stems in joined)
        mean = joined[0][..., :ready].copy()
        for stems in joined[1:]:
            mean += stems[..., :ready]
        mean /= np.float32(len(joined))
        waiting = [[stems[..., ready:].copy()] for stems in joined]  # a view would keep all of it
        yield mean
