"""Voices: dry recordings of sung syllables, and where in them the syllables are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stemsplit.errors import AudioError, InputError, MissingExtraError
from stemsplit.making.collection import SAMPLE_RATE
from stemsplit.making.recordings import audio_files, read_channels

FRAME_SECONDS = 0.005
# A voiced stretch shorter than this is no vowel.
_SHORTEST_VOWEL_FRAMES = 30
_LONGEST_VOWEL_FRAMES = 200  # enough to stretch, and the analysis takes its time
_LONGEST_ONSET_FRAMES = 30
# Below the recording's loudest frames by this much, nobody sings.
_GATE_DB = -45.0
# A change of pitch by more from one frame to the next parts two stretches.
_LARGEST_STEP_OCTAVES = 0.15
# Pitch is looked for in so much at a time: over half an hour at once it takes gigabytes.
_PIECE_SECONDS = 60

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Syllable:
    """A sung syllable: its samples and where its parts are, in frames of 5 ms.

    Attributes
    ----------
    audio:
        float64 (samples,) at 44.1 kHz.
    vowel, end:
        Frames at which the voice sets in, after the consonant, and at which it ends.
    frequency:
        Median of its pitch, Hz.
    """

    audio: Doubles
    vowel: int
    end: int
    frequency: float


@dataclass(frozen=True)
class Voice:
    """One singer: a name, the files it is recorded in."""

    name: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Timbre:
    """What WORLD finds in a syllable, a frame each 5 ms.

    Attributes
    ----------
    envelope:
        float64 (frames, bins), power.
    aperiodicity:
        float64 (frames, bins), from 0 to 1.
    """

    envelope: Doubles
    aperiodicity: Doubles


def world() -> Any:
    """Import pyworld, the WORLD vocoder (Morise et al. 2016, doi 10.1587/transinf.2015EDP7457).

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        import pyworld
    except ImportError as error:
        raise MissingExtraError.of("cannot sing", "pyworld", "dataset") from error
    return pyworld


def find_voice(path: Path) -> Voice:
    """Take a file, or all the audio files of a folder and its folders, for one voice.

    Raises
    ------
    InputError
        It is missing, or holds no audio files.
    """
    if path.is_dir():
        return Voice(path.resolve().name, tuple(audio_files(path)))
    if not path.is_file():
        raise InputError(f"no such file: {path}", remedy="check the name and the folder")
    return Voice(path.stem, (path,))


def read_syllables(voice: Voice) -> list[Syllable]:
    """Find the syllables in a voice's recordings.

    A syllable is a stretch of steady pitch, with what is heard of its consonant before.

    Raises
    ------
    AudioError
        A recording cannot be read, or none holds a syllable.
    MissingExtraError
        There is no pyworld.
    """
    syllables = [found for path in voice.files for found in _syllables(_mono(path))]
    if not syllables:
        raise AudioError(
            f"no syllables in the recordings of {voice.name}", wanted="a voice that sings, dry"
        )
    return syllables


def _mono(path: Path) -> Doubles:
    mono: Doubles = read_channels(path).mean(axis=0, dtype=np.float64)
    return mono


def _syllables(audio: Doubles) -> Iterator[Syllable]:
    """Find syllables; one that the border of two pieces cuts is found in parts, or lost."""
    length = _PIECE_SECONDS * SAMPLE_RATE
    pieces = [audio[start : start + length] for start in range(0, len(audio), length)]
    loudest = max((float(_levels(piece).max()) for piece in pieces), default=0.0)
    for piece in pieces:
        yield from _syllables_of(piece, loudest * 10 ** (_GATE_DB / 10))


def _syllables_of(audio: Doubles, gate: float) -> Iterator[Syllable]:
    """Find the syllables of a piece where its mean power is above the gate."""
    pitch, _ = world().dio(audio, SAMPLE_RATE, frame_period=1000 * FRAME_SECONDS)
    audible = _levels(audio) > gate
    step = FRAME_SECONDS * SAMPLE_RATE
    last_whole = int(len(audio) / step)  # WORLD has one more frame, of which no sound may be left
    previous_end = 0
    for start, end in _stretches(np.where(audible, pitch, 0.0)):
        if end - start < _SHORTEST_VOWEL_FRAMES:
            continue
        onset = start
        earliest = max(previous_end, start - _LONGEST_ONSET_FRAMES)
        while onset > earliest and audible[onset - 1]:
            onset -= 1
        previous_end = end
        end = min(end, start + _LONGEST_VOWEL_FRAMES, last_whole)
        yield Syllable(
            audio[round(onset * step) : round(end * step)],
            start - onset,
            end - onset,
            float(np.median(pitch[start:end])),
        )


def _levels(audio: Doubles) -> Doubles:
    """Mean power around each of WORLD's frames, over twice its length."""
    step = FRAME_SECONDS * SAMPLE_RATE
    # The very operations of WORLD, which round as its do.
    frames = int(1000.0 * len(audio) / SAMPLE_RATE / (1000 * FRAME_SECONDS)) + 1
    total = np.concatenate(([0.0], np.cumsum(np.square(audio))))
    centres = np.arange(frames) * step
    first = np.clip(np.round(centres - step).astype(int), 0, len(audio))
    last = np.clip(np.round(centres + step).astype(int), 0, len(audio))
    powers: Doubles = (total[last] - total[first]) / np.maximum(last - first, 1)
    return powers


def _stretches(pitch: Doubles) -> list[tuple[int, int]]:
    """Give the starts and ends of stretches of steady pitch; 0 is no pitch."""
    logs = np.log2(np.maximum(pitch, 1.0))
    steady = np.abs(np.diff(logs, prepend=0.0)) < _LARGEST_STEP_OCTAVES
    voiced = pitch > 0
    goes_on = voiced & steady
    starts = np.flatnonzero(voiced & ~goes_on)
    return [(int(start), _end(goes_on, int(start))) for start in starts]


def _end(goes_on: npt.NDArray[np.bool_], start: int) -> int:
    rest = np.flatnonzero(~goes_on[start + 1 :])
    return start + 1 + int(rest[0]) if len(rest) else len(goes_on)


def analyse(syllable: Syllable) -> Timbre:
    """Take a syllable's timbre, scaled so that its vowel has a mean power of 1."""
    pyworld = world()
    period = 1000 * FRAME_SECONDS
    rough, times = pyworld.dio(syllable.audio, SAMPLE_RATE, frame_period=period)
    pitch = pyworld.stonemask(syllable.audio, rough, times, SAMPLE_RATE)
    envelope = pyworld.cheaptrick(syllable.audio, pitch, times, SAMPLE_RATE)
    aperiodicity = pyworld.d4c(syllable.audio, pitch, times, SAMPLE_RATE)
    start = round(syllable.vowel * FRAME_SECONDS * SAMPLE_RATE)
    power = float(np.mean(np.square(syllable.audio[start:])))
    return Timbre(envelope / power, aperiodicity)


def pick(syllables: Sequence[Syllable], count: int, rng: np.random.Generator) -> list[Syllable]:
    """Draw so many syllables, each once, or all there are."""
    drawn = rng.choice(len(syllables), min(count, len(syllables)), replace=False)
    return [syllables[int(index)] for index in drawn]
