"""Sung tracks: syllables found in recordings, melodies they sing, and single channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pyworld
import soundfile

from midi_songs import write_band, write_voice
from stemsplit.cli.app import run
from stemsplit.dataset import find_tracks, read_track
from stemsplit.errors import AudioError, InputError, UsageError
from stemsplit.making.midi import Note
from stemsplit.making.singing import SingSettings, in_range, sung
from stemsplit.making.voices import FRAME_SECONDS, Syllable, analyse, find_voice, read_syllables

RATE = 44_100
STRICT = SingSettings(double=0, reverb=0, timing_seconds=0, detune_cents=0)


@pytest.fixture(scope="module")
def syllables(tmp_path_factory: pytest.TempPathFactory) -> list[Syllable]:
    return read_syllables(find_voice(write_voice(tmp_path_factory.mktemp("voice") / "v.wav")))


def test_syllables_are_found(syllables: list[Syllable]) -> None:
    assert len(syllables) == 4
    for syllable in syllables:
        # dio hears 220 Hz within a few cents, and each end of a vowel within a few periods.
        assert syllable.frequency == pytest.approx(220, rel=0.005)
        assert 0.5 < (syllable.end - syllable.vowel) * FRAME_SECONDS < 0.65
        assert 0.02 < syllable.vowel * FRAME_SECONDS < 0.1, "the hiss, of 60 ms"


def test_a_vowel_that_a_recording_cuts_has_all_its_frames(tmp_path: Path) -> None:
    audio, _ = soundfile.read(write_voice(tmp_path / "v.wav"))
    # WORLD's frames are 220.5 samples: the last begins at the very end of every second one's.
    for start, end in ((0, 36_603), (220, 37_044)):
        soundfile.write(tmp_path / "cut.wav", audio[start : start + end], RATE)
        (syllable,) = read_syllables(find_voice(tmp_path / "cut.wav"))
        assert len(analyse(syllable).envelope) >= syllable.end


def test_the_melody_is_sung(syllables: list[Syllable]) -> None:
    notes = [Note(0.1, 0.9, 57), Note(0.9, 1.3, 60), Note(1.5, 2.3, 55)]
    audio = sung(notes, syllables, STRICT, np.random.default_rng(0))
    assert audio.shape == (2, round(3.3 * RATE))
    assert audio.dtype == np.float32
    pitch, _ = pyworld.dio(audio[0].astype(float), RATE, frame_period=5)
    for note in notes:
        inside = pitch[round(note.start * 200) + 20 : round(note.end * 200) - 20]
        heard = 69 + 12 * np.log2(np.median(inside[inside > 0]) / 440)
        assert np.mean(inside > 0) > 0.9
        # Vibrato, whose depth is up to 0.6 semitones, need not end where it began.
        assert heard == pytest.approx(note.pitch, abs=0.25)


def test_singing_is_repeatable_and_has_a_seed(syllables: list[Syllable]) -> None:
    settings = SingSettings(double=1, reverb=1)
    notes = [Note(0.0, 0.5, 57)]
    one, same, other = (
        sung(notes, syllables, settings, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one[0], one[1]), "doubles and rooms differ on the two sides"


def test_a_melody_moves_by_octaves_to_the_voice() -> None:
    assert [note.pitch for note in in_range([Note(0, 1, 81), Note(1, 2, 83)], 220)] == [57, 59]


def test_tracks_with_vocals_alone(tmp_path: Path) -> None:
    voice, song = write_voice(tmp_path / "v.wav"), write_band(tmp_path / "song.mid")
    arguments = ["dataset", "sing", voice, "--melodies", song, "-o", tmp_path / "out", "-q"]
    assert run([*map(str, arguments), "--seconds", "1.2"]) == 0
    (track,) = find_tracks(tmp_path / "out")
    audio = read_track(track)
    assert audio.present == {"vocals"}
    assert audio.stems.shape == (4, 2, round(1.2 * RATE))


def test_recordings_without_a_voice_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "hiss.wav", 0.1 * rng.standard_normal(RATE), RATE)
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    for name in ("hiss.wav", "silence.wav"):
        with pytest.raises(AudioError, match="no syllables"):
            read_syllables(find_voice(tmp_path / name))
    with pytest.raises(InputError, match="no such file"):
        find_voice(tmp_path / "absent.wav")
    with pytest.raises(UsageError, match="bad reverb"):
        SingSettings(reverb=2)
