"""Has voices sing melodies: syllables stretched to notes, their pitch set, through WORLD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemsplit.dataset import Audio
from stemsplit.effects import drawn_room, panned, reverberate
from stemsplit.errors import UsageError
from stemsplit.making.collection import SAMPLE_RATE, Job
from stemsplit.making.midi import MidiSong, Note, melody, parse
from stemsplit.making.voices import (
    FRAME_SECONDS,
    Doubles,
    Syllable,
    Timbre,
    Voice,
    analyse,
    find_voice,
    pick,
    read_syllables,
    world,
)

_PALETTE = 24  # syllables of one song
_SILENCE = 1e-12  # power; WORLD takes logarithms
# The first of a vowel keeps its speed, as most of a voiced consonant lies in it.
_UNSTRETCHED_FRAMES = 16
_FADE_FRAMES = 5
_GLIDE_FRAMES = 10
_VIBRATO_DELAY_FRAMES = 40
_LAST_SECONDS = 1.0  # for the room to die away
_DOUBLE_DB = -6.0


@dataclass(frozen=True)
class SingSettings:
    """How voices sing.

    Attributes
    ----------
    seconds:
        The longest track, from the melody's first note; None: no limit.
    track:
        A part of the name of the MIDI track that has the melody.
    double, reverb:
        How often a second take sings along, and how often there is a room.
    timing_seconds, detune_cents:
        Standard deviations of the notes' starts and pitches.
    """

    seconds: float | None = None
    track: str = "melody"
    double: float = 0.4
    reverb: float = 0.7
    timing_seconds: float = 0.012
    detune_cents: float = 8.0

    def __post_init__(self) -> None:
        for name in ("double", "reverb"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"bad {name}", got=getattr(self, name), wanted="0 to 1")
        if self.seconds is not None and not self.seconds > 0:
            raise UsageError("bad seconds", got=self.seconds, wanted="more than 0")


@dataclass(frozen=True)
class _Manner:
    """How one take of one song is sung: vibrato in Hz and cents, the rest as in the settings."""

    vibrato_hz: float
    vibrato_cents: float
    timing_seconds: float
    detune_cents: float


@dataclass(frozen=True)
class _Line:
    """A take as WORLD synthesises it: pitch in Hz (frames,), timbre (frames, bins)."""

    pitch: Doubles
    timbre: Timbre


def sing_jobs(
    songs: Sequence[MidiSong], voices: Sequence[Path], settings: SingSettings
) -> list[Job]:
    """Give a job for each song that has one of the voices sing its melody.

    Raises
    ------
    InputError
        A voice is missing.
    MissingExtraError
        There is no pyworld.
    """
    world()
    singers = [find_voice(path) for path in voices]
    syllables = cache(_syllables_of)

    def job(song: MidiSong) -> Job:
        def make(rng: np.random.Generator) -> dict[str, Audio]:
            notes = _until(melody(parse(song), settings.track), settings.seconds)
            singer = singers[int(rng.integers(len(singers)))]
            return {"vocals": sung(notes, syllables(singer), settings, rng)}

        return Job(song.name, make, str(settings))

    return [job(song) for song in songs]


def _syllables_of(voice: Voice) -> tuple[Syllable, ...]:
    return tuple(read_syllables(voice))


def _until(notes: Sequence[Note], seconds: float | None) -> list[Note]:
    if seconds is None:
        return list(notes)
    return [Note(n.start, min(n.end, seconds), n.pitch) for n in notes if n.start < seconds]


def sung(
    notes: Sequence[Note],
    syllables: Sequence[Syllable],
    settings: SingSettings,
    rng: np.random.Generator,
) -> Audio:
    """Sing a melody: float32 (2 channels, samples) at 44.1 kHz.

    It is moved by the octaves that bring it nearest to the voice. A syllable's consonant comes
    before the beat, at the speed it was recorded at; its vowel is stretched to the note.
    """
    if not notes:
        return np.zeros((2, 0), np.float32)
    notes = in_range(notes, float(np.median([s.frequency for s in syllables])))
    palette = [(syllable, analyse(syllable)) for syllable in pick(syllables, _PALETTE, rng)]
    choice = rng.integers(len(palette), size=len(notes))
    chosen = [palette[int(index)] for index in choice]
    length = notes[-1].end + _LAST_SECONDS
    if settings.seconds is not None:
        length = min(length, settings.seconds)
    samples = round(length * SAMPLE_RATE)
    voice = panned(_take(notes, chosen, samples, settings, rng), 0.0)
    if rng.random() < settings.double:
        gain = np.float32(10 ** (_DOUBLE_DB / 20))
        for side in (-1, 1):
            take = _take(notes, chosen, samples, settings, rng)
            voice = voice + gain * panned(take, side * rng.uniform(0.3, 1))
    if rng.random() < settings.reverb:
        voice = reverberate(voice, SAMPLE_RATE, drawn_room(len(voice), SAMPLE_RATE, rng))
    return voice


def in_range(notes: Sequence[Note], frequency: float) -> list[Note]:
    """Move a melody by octaves so that its middle comes nearest to a frequency in Hz."""
    middle = float(np.median([note.pitch for note in notes]))
    octaves = round((69 + 12 * np.log2(frequency / 440) - middle) / 12)
    return [Note(note.start, note.end, note.pitch + 12 * octaves) for note in notes]


def _take(
    notes: Sequence[Note],
    chosen: Sequence[tuple[Syllable, Timbre]],
    samples: int,
    settings: SingSettings,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    manner = _Manner(
        rng.uniform(4.8, 6.2), rng.uniform(15, 60), settings.timing_seconds, settings.detune_cents
    )
    frames = int(np.ceil(samples / SAMPLE_RATE / FRAME_SECONDS)) + 1
    line = _line(notes, chosen, frames, manner, rng)
    audio = world().synthesize(
        line.pitch,
        line.timbre.envelope,
        line.timbre.aperiodicity,
        SAMPLE_RATE,
        1000 * FRAME_SECONDS,
    )
    take: npt.NDArray[np.float32] = audio[:samples].astype(np.float32)
    return np.pad(take, (0, samples - len(take)))


def _line(
    notes: Sequence[Note],
    chosen: Sequence[tuple[Syllable, Timbre]],
    frames: int,
    manner: _Manner,
    rng: np.random.Generator,
) -> _Line:
    bins = chosen[0][1].envelope.shape[1]
    line = _Line(
        np.zeros(frames),
        Timbre(np.full((frames, bins), _SILENCE), np.full((frames, bins), 1.0)),
    )
    late = rng.normal(0, manner.timing_seconds, len(notes))
    starts = [
        max(0, round((n.start + d) / FRAME_SECONDS)) for n, d in zip(notes, late, strict=True)
    ]
    onsets = [max(0, start - s.vowel) for start, (s, _) in zip(starts, chosen, strict=True)]
    previous: float | None = None
    for index, (note, (syllable, timbre)) in enumerate(zip(notes, chosen, strict=True)):
        end = min(frames, round(note.end / FRAME_SECONDS))
        if index + 1 < len(notes):
            end = min(end, onsets[index + 1])  # the next consonant takes its time from this vowel
        start = starts[index]
        if end - start < 2 * _FADE_FRAMES:
            previous = None
            continue
        source = _source_frames(syllable, start - onsets[index], end - start)
        where = slice(onsets[index], end)
        gain = _fades(len(source))[:, None] * 10 ** (rng.normal(0, 1.5) / 10)
        line.timbre.envelope[where] = np.maximum(timbre.envelope[source] * gain, _SILENCE)
        line.timbre.aperiodicity[where] = timbre.aperiodicity[source]
        line.pitch[start:end] = _pitch(note, end - start, previous, manner, rng)
        joined = index + 1 < len(notes) and notes[index + 1].start - note.end < 0.05
        previous = float(note.pitch) if joined else None
    return line


def _source_frames(syllable: Syllable, onset: int, length: int) -> npt.NDArray[np.int64]:
    """Give, for each frame of a note with its onset, the frame of the syllable to take."""
    consonant = np.arange(syllable.vowel - onset, syllable.vowel)
    vowel = syllable.end - syllable.vowel
    fixed = min(_UNSTRETCHED_FRAMES, length, vowel)
    if length <= vowel:
        positions: npt.NDArray[np.float64] = np.arange(length, dtype=np.float64)
    else:
        rest = np.linspace(fixed, vowel - 1, length - fixed)
        positions = np.concatenate((np.arange(fixed), rest))
    return np.concatenate((consonant, syllable.vowel + np.round(positions).astype(np.int64)))


def _fades(length: int) -> Doubles:
    """Powers that rise and fall within 25 ms at the ends."""
    edge = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1
    powers: Doubles = np.square(np.minimum(1.0, edge / _FADE_FRAMES))
    return powers


def _pitch(
    note: Note,
    frames: int,
    previous: float | None,
    manner: _Manner,
    rng: np.random.Generator,
) -> Doubles:
    """Give the pitch of a note's vowel in Hz: a glide from the note before, drift, vibrato."""
    time = np.arange(frames)
    cents = np.full(frames, rng.normal(0, manner.detune_cents))
    if previous is not None:
        cents += 100 * (previous - note.pitch) * np.exp(-3 * time / _GLIDE_FRAMES)
    depth = np.clip((time - _VIBRATO_DELAY_FRAMES) / _VIBRATO_DELAY_FRAMES, 0, 1)
    phase = 2 * np.pi * (manner.vibrato_hz * FRAME_SECONDS * time + rng.random())
    cents += manner.vibrato_cents * depth * np.sin(phase)
    pitch: Doubles = 440 * 2 ** ((note.pitch - 69) / 12 + cents / 1200)
    return pitch
