"""What is written for a song, of the stems that the model gives and the mixture they came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from stemsplit.backlog import Backlog
from stemsplit.outputs import MIXTURE, RESIDUAL, REST_PREFIX

Audio = npt.NDArray[np.float32]


class Mixer:
    """Gives what is written from what the model gives, with the mixture where that takes it.

    ``blocks`` is the song, to be separated; a copy of it waits for the stems it becomes.
    """

    def __init__(
        self, names: Sequence[str], sources: Sequence[str], blocks: Iterator[Audio]
    ) -> None:
        self._names = names
        self._sources = {name: index for index, name in enumerate(sources)}
        self._song = blocks
        self._waiting = Backlog()
        self._needs_mixture = any(name not in self._sources for name in names)

    def blocks(self) -> Iterator[Audio]:
        """Give the song's blocks, in whichever thread asks for them."""
        for block in self._song:
            if self._needs_mixture:
                self._waiting.add(block)
            yield block

    def mix(self, stems: Audio) -> Audio:
        """Give float32 (files, channels, samples) for the model's (stems, channels, samples)."""
        if not stems.shape[2]:
            return np.zeros((len(self._names), *stems.shape[1:]), np.float32)
        mixture = self._waiting.take(stems.shape[2]) if self._needs_mixture else None
        given: list[Audio] = []
        for name in self._names:
            if name in self._sources:
                given.append(stems[self._sources[name]])
            elif mixture is not None and name == MIXTURE:
                given.append(mixture)
            elif mixture is not None and name == RESIDUAL:
                given.append(mixture - np.sum(given, axis=0))
            elif mixture is not None:
                given.append(mixture - stems[self._sources[name.removeprefix(REST_PREFIX)]])
        return np.stack(given)
