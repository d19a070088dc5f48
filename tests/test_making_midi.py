"""MIDI songs: where they are found, how they are split, and their melodies."""

from __future__ import annotations

import zipfile
from pathlib import Path

import mido
import pytest

from midi_songs import band, write_band
from stemsplit.errors import InputError
from stemsplit.making.midi import (
    MidiSong,
    Note,
    find_songs,
    melody,
    parse,
    split_events,
    write_events,
)


def test_songs_are_found_in_files_folders_and_archives(tmp_path: Path) -> None:
    write_band(tmp_path / "songs" / "a" / "one.mid")
    write_band(tmp_path / "songs" / "two.MIDI")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(tmp_path / "songs" / "two.MIDI", "../b/three.mid")
        archive.writestr("readme.txt", "no song")
    songs = find_songs([tmp_path / "songs", tmp_path / "more.zip", tmp_path / "songs/a/one.mid"])
    # What would lead out of a folder does not get into a name.
    assert [song.name for song in songs] == ["a-one", "two", "-b-three", "one"]
    for song in songs:
        assert len(parse(song).tracks) == 4


@pytest.mark.parametrize("name", ["absent.mid", "empty", "text.zip"])
def test_paths_without_songs_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(InputError, match=name):
        find_songs([tmp_path / name])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF of something else",
        b"MThd\0\0\0\6\0\1\0\2\1\xe0MTrk",
        # A key signature of 32 sharps.
        b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk\0\0\0\x0a\0\xff\x59\2\x20\0\0\xff\x2f\0",
        # No ticks in a beat, and frames of a film.
        b"MThd\0\0\0\6\0\0\0\1\0\0MTrk\0\0\0\4\0\xff\x2f\0",
        b"MThd\0\0\0\6\0\0\0\1\xe7\x28MTrk\0\0\0\4\0\xff\x2f\0",
    ],
)
def test_files_that_are_no_midi_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="cannot read MIDI x"):
        parse(MidiSong("x", lambda: data))


@pytest.mark.parametrize("place", [-30, 6])  # in the data, and the flag of a password
def test_damage_in_an_archive_is_that_song_s(tmp_path: Path, place: int) -> None:
    write_band(tmp_path / "one.mid")
    path = tmp_path / "songs.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "one.mid", "one.mid")
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\1\2")
    if place < 0:
        data[central + place : central] = bytes(-place)
    else:
        data[place] |= 1
        data[central + 8] |= 1
    path.write_bytes(data)
    (song,) = find_songs([path])
    with pytest.raises(InputError, match="cannot read MIDI one"):
        parse(song)


def test_a_song_is_split_by_channel_and_program() -> None:
    sources = split_events(band(), None)
    played = {
        source: [(t, m.note) for t, m in events if m.type == "note_on"]
        for source, events in sources.items()
    }
    assert played == {
        "drums": [(0.0, 36), (1.0, 38)],
        "bass": [(0.5, 40), (1.0, 43)],
        # The bass becomes strings, which are no bass, after its second note.
        "other": [(0.5, 69), (1.0, 72), (1.5, 60), (1.5, 76)],
    }


def test_drums_alone_give_drums_alone() -> None:
    midi = band()
    del midi.tracks[2:]
    assert set(split_events(midi, None)) == {"drums"}


def test_a_song_is_cut(tmp_path: Path) -> None:
    events = split_events(band(), 0.75)["other"]
    write_events(events, 0.75, tmp_path / "cut.mid")
    cut = mido.MidiFile(tmp_path / "cut.mid")
    assert [m.note for m in cut if m.type == "note_on"] == [69]
    assert [m.note for m in cut if m.type == "note_off"] == [69]
    # A tick is 1/1920 s.
    assert cut.length == pytest.approx(0.75, abs=1 / 1920)


def test_a_melody_starts_at_its_first_note() -> None:
    assert melody(band(), "melody") == [
        Note(0.0, 0.5, 69),
        Note(0.5, 1.0, 72),
        Note(1.0, 1.5, 76),
    ]


def test_of_notes_that_begin_together_the_highest_stays() -> None:
    midi = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack([mido.MetaMessage("track_name", name="Melody")])
    for note, wait in ((60, 0), (64, 0), (67, 240)):
        track.append(mido.Message("note_on", note=note, velocity=80, time=wait))
    for note in (60, 64, 67):
        track.append(mido.Message("note_off", note=note, time=480))
    midi.tracks.append(track)
    notes = melody(midi, "melody")
    assert [note.pitch for note in notes] == [64, 67]
    assert notes[0].end == notes[1].start


def test_a_song_without_the_melody_s_track_is_refused() -> None:
    with pytest.raises(InputError, match=r"MELODY.*wanted one with flute"):
        melody(band(), "flute")
