"""The mean of several separations of a song, each of which hears it at another speed.

Where the bins and frames of a spectrogram lie in a song is chance, and so is some of what a network
gets wrong: the mean of estimates that see it at other pitches and tempos has less of it. So have
those that see it a little later (the "shift trick" of Défossez et al., "Music source separation in
the waveform domain", 2019), but less so; they follow where there are more separations than speeds.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemsplit.backlog import Backlog

Audio = npt.NDArray[np.float32]
Separate = Callable[[Iterator[Audio], int], Generator[Audio, None, None]]

_SEMITONES = (0.0, 1.5, 2.5, -1.5, 0.75)
"""How much higher and faster the song is heard, in turn: as a tape that runs faster. Chosen for
`base` and `tiny` on MUSDB18's validation songs, from a dozen within four semitones."""

_STEP_HZ = 100
"""Rates that have so much in common with those of spectrograms are converted in two thirds of the
time of others."""
_LEAST_STEPPED_HZ = 8000  # a step is a fifth of a semitone there


@dataclass(frozen=True)
class Hearing:
    """How one of the separations hears the song.

    Attributes
    ----------
    delay:
        Samples of silence before it.
    sample_rate:
        What it takes the song's to be, in Hz: at a higher one the song is higher and faster.
    """

    delay: int
    sample_rate: int


def hearings(shifts: int, sample_rate: int, hop: float) -> list[Hearing]:
    """Give how each separation hears a song of this rate (Hz) and hop (samples).

    The first hears it as it is. Each round of speeds begins a part of that hop later.
    """
    rounds = -(-shifts // len(_SEMITONES))
    return [
        Hearing(round(hop * (index // len(_SEMITONES)) / rounds), rate)
        for index, rate in enumerate(heard_rates(shifts, sample_rate))
    ]


def heard_rates(shifts: int, sample_rate: int) -> list[int]:
    """Give the rate that each separation takes a song of this rate to have, Hz."""
    return [_rate(sample_rate, _SEMITONES[index % len(_SEMITONES)]) for index in range(shifts)]


def _rate(sample_rate: int, semitones: float) -> int:
    """Give the rate at which a song is so much higher: about, where that saves time."""
    if not semitones:
        return sample_rate
    wanted = sample_rate * 2 ** (semitones / 12)
    if sample_rate < _LEAST_STEPPED_HZ:
        return max(1, round(wanted))
    return _STEP_HZ * round(wanted / _STEP_HZ)


def mean_of_shifts(
    blocks: Iterator[Audio], channels: int, heard: Sequence[Hearing], separate: Separate
) -> Generator[Audio, None, None]:
    """Separate a song once for each hearing, and give the mean.

    The separations go side by side, so that memory does not grow with the song's length.

    Parameters
    ----------
    blocks:
        The song: float32 (channels, samples) each. Separations may take them from threads of their
        own; each block is taken once.
    channels:
        Rows of every block.
    heard:
        See `hearings`.
    separate:
        Gives float32 (stems, channels, samples) blocks for such a song and rate, together as long
        as it.

    Yields
    ------
    numpy.ndarray
        float32 (stems, channels, samples), together exactly as long as the song.
    """
    song = _Shared(blocks, len(heard))
    passes = [
        _without_first(
            separate(_later(song.reader(index), channels, one.delay), one.sample_rate), one.delay
        )
        for index, one in enumerate(heard)
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
    """Give the mean of streams whose blocks may be of different lengths.

    The one that is furthest behind comes next, so that none keeps more than a block or two waiting:
    a segment has more of the song where it is heard faster.
    """
    if len(passes) == 1:
        yield from passes[0]
        return
    waiting = [Backlog(axis=2) for _ in passes]
    asked = [0] * len(passes)
    going = set(range(len(passes)))
    while going:
        behind = min(going, key=lambda index: (waiting[index].count, asked[index]))
        asked[behind] += 1
        block = next(passes[behind], None)
        if block is None:
            going.remove(behind)
            continue
        waiting[behind].add(block)
        ready = min(stems.count for stems in waiting)
        if ready:
            mean = waiting[0].take(ready).copy()
            for stems in waiting[1:]:
                mean += stems.take(ready)
            mean /= np.float32(len(passes))
            yield mean
