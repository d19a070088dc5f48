"""MIDI files, from folders and zip archives, as events in seconds."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemsplit.errors import InputError, MissingExtraError
from stemsplit.making.collection import track_name

SUFFIXES = (".mid", ".midi")
DRUM_CHANNEL = 9  # the tenth, counted from 0
_BASS_PROGRAMS = range(32, 40)  # General MIDI's 33 to 40, counted from 1
_TICKS_PER_SECOND = 1920  # 960 a beat at the 120 beats a minute of a file without tempo

Event = tuple[float, Any]
"""Seconds from the start, and a `mido.Message`."""


@dataclass(frozen=True)
class MidiSong:
    """A MIDI file, or one in an archive: ``name`` is fit for a folder, ``read`` gives its bytes."""

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Note:
    """A note: start and end in seconds, pitch as MIDI counts it (69 is 440 Hz)."""

    start: float
    end: float
    pitch: int


def find_songs(paths: Iterable[Path]) -> list[MidiSong]:
    """Find MIDI songs: files, those in folders and their folders, and those in zip archives.

    Raises
    ------
    InputError
        A path that is missing or holds no MIDI, or an archive that cannot be read.
    """
    songs = []
    for path in paths:
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            found = [_of_file(p, p.relative_to(path)) for p in files]
        elif path.suffix.lower() == ".zip":
            found = _in_archive(path)
        else:
            found = [_of_file(path, Path(path.name))]
        if not found:
            raise InputError(f"no MIDI in {path}", wanted=" or ".join(SUFFIXES))
        songs += found
    return songs


def _of_file(path: Path, named: Path) -> MidiSong:
    if not path.is_file():
        raise InputError(f"no such file: {path}", remedy="check the name and the folder")
    return MidiSong(track_name(str(named.with_suffix(""))), path.read_bytes)


def _in_archive(path: Path) -> list[MidiSong]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read {path}", got=error, wanted="a zip archive") from error

    def reader(member: str) -> Callable[[], bytes]:
        def read() -> bytes:
            with zipfile.ZipFile(path) as archive:
                return archive.read(member)

        return read

    return [
        MidiSong(track_name(str(Path(member).with_suffix(""))), reader(member))
        for member in members
        if Path(member).suffix.lower() in SUFFIXES
    ]


def _mido() -> Any:
    try:
        import mido
    except ImportError as error:
        raise MissingExtraError.of("cannot read MIDI", "mido", "dataset") from error
    return mido


_DAMAGES = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    RuntimeError,  # a member of an archive that wants a password; NotImplementedError is one, too
    zipfile.BadZipFile,
    zlib.error,
)


def parse(song: MidiSong) -> Any:
    """Parse a song into a `mido.MidiFile`.

    Raises
    ------
    InputError
        It cannot be read, or is no MIDI file.
    MissingExtraError
        There is no mido.
    """
    mido = _mido()
    try:
        midi = mido.MidiFile(file=io.BytesIO(song.read()), clip=True)
    # What is damaged makes mido and zipfile fail in many ways.
    except (*_DAMAGES, mido.KeySignatureError) as error:
        raise InputError(f"cannot read MIDI {song.name}", got=error or "its end") from error
    if midi.ticks_per_beat <= 0:  # negative where it counts frames of a film
        raise InputError(
            f"cannot read MIDI {song.name}",
            got=f"a division of {midi.ticks_per_beat}",
            wanted="ticks of a beat",
        )
    return midi


def split_events(midi: Any, seconds: float | None) -> dict[str, list[Event]]:
    """Split a song's events by source, from its first note on, to at most so many seconds.

    What is on channel 10 goes to drums, what programs 33 to 40 play to bass, the rest to other.
    Changes of programs and controllers go to every source; system-exclusive messages to none.
    A source without notes is left out.

    Raises
    ------
    InputError
        Tracks that do not play together (type 2).
    """
    sources: dict[str, list[Event]] = {"drums": [], "bass": [], "other": []}
    sounding: dict[tuple[int, int], str] = {}
    programs = [0] * 16
    first: float | None = None
    for time, message in _timeline(midi):
        if message.type not in ("note_on", "note_off"):
            if message.type == "program_change":
                programs[message.channel] = message.program
            for events in sources.values():
                events.append((time - first if first is not None else 0.0, message))
            continue
        starts = message.type == "note_on" and message.velocity > 0
        if first is None and starts:
            first = time
        if first is None or (seconds is not None and time - first >= seconds):
            continue
        key = (message.channel, message.note)
        source = _source(message.channel, programs)
        source = sounding.pop(key, source)
        if starts:
            sounding[key] = source
        sources[source].append((time - first, message))
    return {
        source: events
        for source, events in sources.items()
        if any(message.type == "note_on" and message.velocity for _, message in events)
    }


def _source(channel: int, programs: Sequence[int]) -> str:
    if channel == DRUM_CHANNEL:
        return "drums"
    return "bass" if programs[channel] in _BASS_PROGRAMS else "other"


def _timeline(midi: Any) -> Iterable[Event]:
    if midi.type == 2:
        raise InputError("a MIDI file of type 2", wanted="tracks that play together: type 0 or 1")
    time = 0.0
    for message in midi:
        time += message.time
        if not message.is_meta and message.type != "sysex" and hasattr(message, "channel"):
            yield time, message


def write_events(events: Iterable[Event], seconds: float | None, path: Path) -> None:
    """Write events as a MIDI file of one track, notes that still sound after a time ended there."""
    mido = _mido()
    track = mido.MidiTrack()
    sounding: set[tuple[int, int]] = set()
    last = 0
    for time, message in sorted(events, key=lambda event: event[0]):
        if seconds is not None and time >= seconds:
            break
        tick = round(time * _TICKS_PER_SECOND)
        track.append(message.copy(time=tick - last))
        last = tick
        if message.type in ("note_on", "note_off"):
            key = (message.channel, message.note)
            on = message.type == "note_on" and message.velocity > 0
            (sounding.add if on else sounding.discard)(key)
    end = last if seconds is None else max(last, round(seconds * _TICKS_PER_SECOND))
    for channel, note in sorted(sounding):
        track.append(mido.Message("note_off", channel=channel, note=note, time=end - last))
        last = end
    midi = mido.MidiFile(type=0, ticks_per_beat=_TICKS_PER_SECOND // 2)
    midi.tracks.append(track)
    midi.save(path)


def melody(midi: Any, track: str) -> list[Note]:
    """Give the notes of a track, one at a time, from the first on, in seconds.

    A note ends where the next one begins; of notes that begin together, the highest stays.

    Parameters
    ----------
    midi:
        A `mido.MidiFile`.
    track:
        A part of the track's name, in any case.

    Raises
    ------
    InputError
        No track of the name has notes.
    """
    mido = _mido()
    # Other tracks only lend their tempo, which type 1 files keep in the first.
    named = [t for t in midi.tracks if track.lower() in t.name.lower() and _has_notes(t)]
    if not named:
        names = ", ".join(t.name for t in midi.tracks if t.name) or "none"
        raise InputError("no melody", got=f"tracks {names}", wanted=f"one with {track} in its name")
    alone = mido.MidiFile(type=1, ticks_per_beat=midi.ticks_per_beat)
    for other in midi.tracks:
        kept = other if other is named[0] else _tempo_of(other, mido)
        alone.tracks.append(kept)
    return _one_at_a_time(_notes(_timeline(alone)))


def _has_notes(track: Any) -> bool:
    return any(message.type == "note_on" for message in track)


def _tempo_of(track: Any, mido: Any) -> Any:
    tempo, time = mido.MidiTrack(), 0
    for message in track:
        time += message.time
        if message.type == "set_tempo":
            tempo.append(message.copy(time=time))
            time = 0
    return tempo


def _notes(events: Iterable[Event]) -> list[Note]:
    started: dict[int, float] = {}
    notes = []
    for time, message in events:
        if message.type not in ("note_on", "note_off"):
            continue
        start = started.pop(message.note, None)
        if start is not None and time > start:
            notes.append(Note(start, time, message.note))
        if message.type == "note_on" and message.velocity > 0:
            started[message.note] = time
    return notes


def _one_at_a_time(notes: list[Note]) -> list[Note]:
    ordered = sorted(notes, key=lambda note: (note.start, note.pitch))
    single = []
    for note, following in zip(ordered, [*ordered[1:], None], strict=True):
        end = min(note.end, following.start) if following else note.end
        if end > note.start:
            single.append(Note(note.start, end, note.pitch))
    first = single[0].start if single else 0.0
    return [Note(note.start - first, note.end - first, note.pitch) for note in single]
