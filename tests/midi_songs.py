"""MIDI songs and a singer, made up for tests."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import soundfile

BEAT = 480


def band() -> mido.MidiFile:
    """Two seconds: drums on channel 10, bass and piano, and a bass that becomes strings."""
    midi = mido.MidiFile(type=1, ticks_per_beat=BEAT)
    tempo = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000)])
    drums = _notes("drums", 9, None, [(0, 36), (2, 38)])
    bass = _notes("bass", 0, 33, [(1, 40), (2, 43)])
    bass.append(mido.Message("program_change", channel=0, program=48, time=0))
    bass += [
        mido.Message("note_on", channel=0, note=60, velocity=80),
        mido.Message("note_off", channel=0, note=60, time=BEAT),
    ]
    midi.tracks += [tempo, drums, bass, _notes("MELODY", 1, 0, [(1, 69), (2, 72), (3, 76)])]
    return midi


def _notes(
    name: str, channel: int, program: int | None, notes: list[tuple[int, int]]
) -> mido.MidiTrack:
    """Play notes of one beat (half a second), each at a beat."""
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
    if program is not None:
        track.append(mido.Message("program_change", channel=channel, program=program))
    now = 0
    for beat, note in notes:
        wait = (beat - now) * BEAT
        track.append(mido.Message("note_on", channel=channel, note=note, velocity=90, time=wait))
        track.append(mido.Message("note_off", channel=channel, note=note, time=BEAT))
        now = beat + 1
    return track


def write_band(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    band().save(path)
    return path


def write_voice(path: Path, frequency: float = 220.0) -> Path:
    """Four syllables: a hiss, then a vowel of falling harmonics, with silence around."""
    rng = np.random.default_rng(0)
    t = np.arange(round(0.6 * 44_100)) / 44_100
    vowel = sum(np.sin(2 * np.pi * frequency * k * t) / k for k in range(1, 30))
    edges = np.minimum(1, np.minimum(t, t[::-1]) / 0.02)
    hiss = 0.1 * rng.standard_normal(round(0.06 * 44_100))
    silence = np.zeros(round(0.3 * 44_100))
    syllable = np.concatenate((silence, hiss, 0.2 * vowel * edges))
    voice = np.concatenate((*[syllable] * 4, silence)) + 1e-5 * rng.standard_normal(
        4 * len(syllable) + len(silence)
    )
    soundfile.write(path, voice, 44_100)
    return path


def write_soundfont(path: Path, presets: list[tuple[int, int]]) -> Path:
    """Write the header of a SoundFont, which is all that is read of it here."""
    records = b"".join(
        b"name".ljust(20, b"\0")
        + program.to_bytes(2, "little")
        + bank.to_bytes(2, "little")
        + bytes(14)
        for bank, program in [*presets, (0, 0)]
    )
    samples = _chunk(b"LIST", b"sdta" + bytes(10))
    body = b"sfbk" + samples + _chunk(b"LIST", b"pdta" + _chunk(b"phdr", records))
    path.write_bytes(_chunk(b"RIFF", body))
    return path


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "little") + body
