"""How large a compact network is, how far it sees, and what it carries from piece to piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from stemsplit.errors import UsageError

FEATURES = 4
"""Input channels: left, right, mid and side."""
CHANNELS = 2
"""Masked channels: left and right."""

Parts = Iterator[tuple[int, int]]


@dataclass(frozen=True)
class UNetSize:
    """How large a network is.

    Attributes
    ----------
    bands:
        Of its input and output, a multiple of ``2 ** levels``.
    widths:
        Channels of each level, the finest first; multiples of 16 suit processors.
    blocks:
        Convolutional blocks of each level but the last, on either side.
    squeeze:
        Width of the bottleneck of a level's linear layer across its bands.
    dilations:
        Of the middle's blocks, in its frames.
    rounds:
        How often the blocks run, with the same weights: after the first time on the sum of what
        they saw at first and what they made of it.
    inner_rounds:
        How often all below the finest level runs each time, likewise.
    middle_rounds:
        How often the middle runs each time, likewise: of all levels the coarsest sees furthest.
    """

    bands: int = 384
    widths: tuple[int, ...] = (32, 40, 64)
    blocks: int = 1
    squeeze: tuple[int, ...] = (24, 24, 24)
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    rounds: int = 1
    inner_rounds: int = 1
    middle_rounds: int = 1

    def __post_init__(self) -> None:
        for name in ("rounds", "inner_rounds", "middle_rounds"):
            if getattr(self, name) < 1:
                raise UsageError(f"bad {name}", got=getattr(self, name), wanted="at least 1")
        numbers = (self.bands, *self.widths, *self.squeeze, *self.dilations)
        if not self.widths or not all(number >= 1 for number in numbers) or self.blocks < 0:
            raise UsageError("bad size of a network", got=self, wanted="numbers of at least 1")
        if len(self.squeeze) != len(self.widths):
            wanted = f"one for each of {len(self.widths)} widths"
            raise UsageError("bad squeeze", got=f"{len(self.squeeze)} of them", wanted=wanted)
        if self.bands % 2 ** len(self.widths):
            wanted = f"a multiple of {2 ** len(self.widths)}, as each of the widths halves them"
            raise UsageError("bad bands", got=self.bands, wanted=wanted)

    @classmethod
    def named(cls, facts: dict[str, Any]) -> UNetSize:
        """Give the size that the settings of a card's training name, as JSON holds it."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in facts.items()
        }
        return cls(**values)

    @property
    def time_stride(self) -> int:
        """Frames of the input per frame of the middle; inputs are a multiple of it long."""
        return 1 << (len(self.widths) - 1)

    @property
    def context_frames(self) -> int:
        """Frames a mask depends on at each side, rounded up to a multiple of `time_stride`."""
        walk = _Walk(self)
        list(walk.through_all())
        return _round_up(walk.lag, self.time_stride)

    def carried(self, logits: int) -> list[tuple[int, int, int]]:
        """Give what the parts of a network carry from a piece of a song to the next, in order.

        Parameters
        ----------
        logits:
            Channels of the output.

        Returns
        -------
        list
            Channels, bands and frames of each; none of a part that need not wait.
        """
        walk = _Walk(self)
        levels = [(FEATURES, self.bands)]
        levels += [(w, self.bands >> (level + 1)) for level, w in enumerate(self.widths)]
        kept = [(*levels[level + 1], frames) for level, frames in walk.through_all()]
        return [*kept, (logits, self.bands, _round_up(walk.lag, self.time_stride) - walk.lag)]

    @property
    def places(self) -> list[tuple[int, int]]:
        """Give level and lag, in frames of the input, of what each convolution sees, in order."""
        walk = _Walk(self)
        list(walk.through_all())
        return walk.places


class _Walk:
    """Goes through a network as `BandUNet` does, and tells what its parts have to keep.

    A convolution gives frames so much later than it gets them as it sees ahead, and keeps twice
    that: what it sees of the past, too. Where ways of different length join, the shorter waits.
    A coarser level pairs frames that should stay together however late they are, which a short
    wait before it sees to.

    Attributes
    ----------
    lag:
        How much later than the input a frame is where the walk is, in frames of the input.
    places:
        Level and lag before each convolution passed.
    """

    def __init__(self, size: UNetSize) -> None:
        self._size = size
        self._last = len(size.widths) - 1
        self.lag = 0
        self.places: list[tuple[int, int]] = []

    def through_all(self) -> Parts:
        """Give level and frames of every part that keeps any, -1 for the input's level."""
        level, frames = self._convolution(-1, 1)
        yield level, frames + self._pair(0)[1]
        yield from self._again(self._size.rounds, 0, self._round)

    def _round(self) -> Parts:
        second = min(1, self._last)
        inner = partial(self._again, self._size.inner_rounds, second, self._inner_round)
        return self._around(range(second), 0, inner)

    def _inner_round(self) -> Parts:
        middle = partial(self._again, self._size.middle_rounds, self._last, self._middle)
        return self._around(range(1, self._last), min(1, self._last), middle)

    def _middle(self) -> Parts:
        for dilation in self._size.dilations:
            yield self._convolution(self._last, dilation)

    def _again(self, rounds: int, level: int, once: Callable[[], Parts]) -> Parts:
        """Go through something several times; what it saw at first waits for each."""
        seen = self.lag
        yield from once()
        for _ in range(1, rounds):
            yield self._wait(level, seen)
            seen = self.lag
            yield from once()

    def _around(self, levels: range, first: int, inner: Callable[[], Parts]) -> Parts:
        """Go down some levels, through what is below, and up again."""
        yield self._pair(first)
        skips = []
        for level in levels:
            yield from self._blocks(level)
            skips.append(self.lag)
        yield from inner()
        for level in reversed(levels):
            yield self._wait(level, skips.pop())
            yield from self._blocks(level)

    def _blocks(self, level: int) -> Parts:
        for _ in range(self._size.blocks):
            yield self._convolution(level, 2)

    def _convolution(self, level: int, reach: int) -> tuple[int, int]:
        self.places.append((max(level, 0), self.lag))
        self.lag += reach << max(level, 0)
        return level, 2 * reach

    def _wait(self, level: int, since: int) -> tuple[int, int]:
        return level, (self.lag - since) >> level

    def _pair(self, level: int) -> tuple[int, int]:
        """Wait until all levels below will find their pairs together."""
        before = sum(2 * self._size.blocks << level for level in range(level, self._last))
        since = self.lag
        self.lag = _round_up(since + before, self._size.time_stride) - before
        return self._wait(level, since)


def _round_up(value: int, grid: int) -> int:
    return -(-value // grid) * grid
