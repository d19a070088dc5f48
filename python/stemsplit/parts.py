"""The parts that examples are mixed of: a stretch of a stored stem, and what is done to it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import soxr

from stemsplit.dataset import Audio
from stemsplit.effects import Room, Tone, equalised, panned, reverberate
from stemsplit.material import StoredStem

HALF_POWER = math.sqrt(0.5)
"""Gain of each of two parts that share a stem."""


@dataclass(frozen=True)
class Part:
    """A stretch of a stem, and what is done to it.

    Attributes
    ----------
    stem, sample_rate:
        Where it is from.
    start:
        The first sample.
    speed:
        How many of the stem's samples make one of the example, as on tape.
    gain:
        Linear; negative with the polarity reversed.
    swap:
        Whether the channels change places, when all else is done.
    tone:
        See `stemsplit.effects.drawn_tone`; None: as it is.
    place:
        Between the channels, see `stemsplit.effects.panned`; None: as it is.
    room:
        See `stemsplit.effects.drawn_room`; None: as it is.
    highest_hz:
        Where what is recorded ends, at the part's speed.
    """

    stem: StoredStem
    sample_rate: int
    start: int
    speed: float
    gain: np.float32
    swap: bool = False
    tone: Tone | None = None
    place: float | None = None
    room: Room | None = None
    highest_hz: float = math.inf


def made(part: Part, samples: int) -> Audio:
    """Make a part: float32 (2, samples), zeros past the stem's end."""
    audio = part.stem.read(part.start, math.ceil(samples * part.speed))
    if part.speed != 1:
        audio = soxr.resample(audio.T, part.speed, 1, quality="HQ").T
        audio = np.pad(audio, ((0, 0), (0, max(0, samples - audio.shape[1]))))
    audio = np.broadcast_to(audio[:2, :samples], (2, samples))
    if part.tone is not None:
        audio = equalised(audio, part.sample_rate, part.tone)
    if part.place is not None:
        audio = panned(audio[0], part.place)
    if part.room is not None:
        audio = reverberate(audio, part.sample_rate, part.room)
    whole: Audio = (audio[::-1] if part.swap else audio) * part.gain
    return whole
