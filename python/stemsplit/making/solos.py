"""Finds the stretches of whole recordings in which one stem plays alone, as a model hears them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemsplit.config import SOURCES
from stemsplit.dataset import Audio
from stemsplit.errors import AudioError, UsageError
from stemsplit.making.collection import SAMPLE_RATE, Job
from stemsplit.making.recordings import find_recordings, read_channels
from stemsplit.material import ACTIVE_DB

Separate = Callable[[Audio], Mapping[str, Audio]]
"""Gives the stems of a mixture at 44.1 kHz, by source."""

_BLOCK_SAMPLES = SAMPLE_RATE // 2
# Energies are summed over so many blocks, so that a rest between two notes is no solo.
_VIEW_BLOCKS = 6
_FADE_SAMPLES = SAMPLE_RATE // 100  # where two stretches meet

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SoloSettings:
    """What counts as a solo.

    Attributes
    ----------
    below:
        How much less than the mixture all other stems together have, in dB, over any three
        seconds.
    at_least:
        The shortest stretch, s.
    instrumental:
        Whether nobody sings in the recordings, so that what sounds like vocals is other.
    """

    below: float = 15.0
    at_least: float = 6.0
    instrumental: bool = False

    def __post_init__(self) -> None:
        for name in ("below", "at_least"):
            if not getattr(self, name) > 0:
                raise UsageError(f"bad {name}", got=getattr(self, name), wanted="more than 0")


def solo_jobs(
    paths: Iterable[Path], separate: Separate, settings: SoloSettings, model: str = ""
) -> list[Job]:
    """Give jobs that make a track of each stem's solos in each recording, one after the other.

    The tracks have the recording itself, not the model's estimate of it.

    Parameters
    ----------
    paths:
        Audio files, mono or stereo, or folders of them.
    separate:
        What tells where the solos are.
    settings:
        See `SoloSettings`.
    model:
        What names it for good, as its SHA-256 does: another may find a solo where this finds none.

    Raises
    ------
    InputError
        A path that is missing or has no audio files.
    """

    @lru_cache(maxsize=1)  # the stems of a recording come one after the other
    def heard(path: Path) -> tuple[Audio, Doubles]:
        audio = read_channels(path)
        if len(audio) > 2:
            raise AudioError(f"too many channels in {path}", got=len(audio), wanted="1 or 2")
        return audio, _energies(separate(audio), instrumental=settings.instrumental)

    def job(name: str, path: Path, index: int) -> Job:
        def make(_: np.random.Generator) -> dict[str, Audio]:
            audio, energies = heard(path)
            pieces = [_faded(audio[:, a:b]) for a, b in solos(energies, index, settings)]
            return {SOURCES[index]: np.concatenate(pieces, axis=1)} if pieces else {}

        status = path.stat()
        basis = f"{settings} {model} {status.st_size} {status.st_mtime_ns}"
        return Job(f"{name}-{SOURCES[index]}", make, basis)

    return [
        job(name, path, index)
        for path, name in find_recordings(paths)
        for index in range(len(SOURCES))
    ]


def solos(energies: Doubles, index: int, settings: SoloSettings) -> Iterator[tuple[int, int]]:
    """Give the stretches in which a stem plays alone, in samples.

    Parameters
    ----------
    energies:
        float64 (4 stems, half seconds): mean squares.
    index:
        The stem.
    settings:
        What counts.
    """
    view = np.ones(_VIEW_BLOCKS) / _VIEW_BLOCKS
    if energies.shape[1] < _VIEW_BLOCKS:
        return
    around = np.stack([np.convolve(row, view, "valid") for row in energies])
    total = around.sum(axis=0)
    alone = total - around[index] < total * 10 ** (-settings.below / 10)
    sounding = total > 10 ** (ACTIVE_DB / 10)
    edges = np.flatnonzero(np.diff(np.pad(alone & sounding, 1).astype(np.int8)))
    before = 0
    for first, stop in edges.reshape(-1, 2):
        start = max(first * _BLOCK_SAMPLES, before)  # what two views share is heard once
        before = end = (stop - 1 + _VIEW_BLOCKS) * _BLOCK_SAMPLES
        if end - start >= settings.at_least * SAMPLE_RATE:
            yield int(start), int(end)


def _energies(stems: Mapping[str, Audio], *, instrumental: bool) -> Doubles:
    """Give the mean squares of each half second: float64 (4 stems, half seconds)."""
    rows = []
    for source in SOURCES:
        power = np.square(stems[source], dtype=np.float64).mean(axis=0)
        blocks = len(power) // _BLOCK_SAMPLES
        rows.append(power[: blocks * _BLOCK_SAMPLES].reshape(blocks, _BLOCK_SAMPLES).mean(axis=1))
    energies = np.stack(rows)
    if instrumental:
        vocals = SOURCES.index("vocals")
        energies[SOURCES.index("other")] += energies[vocals]
        energies[vocals] = 0
    return energies


def _faded(audio: Audio) -> Audio:
    fade = np.linspace(0, 1, _FADE_SAMPLES, dtype=np.float32)
    audio = audio.copy()
    audio[:, :_FADE_SAMPLES] *= fade
    audio[:, -_FADE_SAMPLES:] *= fade[::-1]
    return audio
