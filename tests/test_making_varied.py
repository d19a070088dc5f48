"""Copies of songs at other pitches and tempos."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemsplit.cli.app import run
from stemsplit.config import SOURCES
from stemsplit.dataset import Audio, find_tracks, read_track
from stemsplit.errors import PARTIAL_BATCH, InputError, MissingExtraError, UsageError
from stemsplit.making.varied import VarySettings, varied, vary_jobs

RATE = 44_100
SECONDS = 3.0


def tone(hertz: float, rate: int = RATE) -> Audio:
    """Give a tone, 6 dB quieter on the right: float32 (2, samples)."""
    t = np.arange(round(SECONDS * rate)) / rate
    one = 0.5 * np.sin(2 * np.pi * hertz * t)
    return np.stack((one, 0.5 * one)).astype(np.float32)


def clicks() -> Audio:
    """Give two bursts of noise of 5 ms, at 1 and 2 s: float32 (1, samples)."""
    audio = np.zeros((1, round(SECONDS * RATE)), np.float32)
    rng = np.random.default_rng(0)
    for second in (1, 2):
        audio[0, second * RATE : second * RATE + 220] = rng.uniform(-0.8, 0.8, 220)
    return audio


def pitch(audio: Audio) -> float:
    """Give the frequency of the left channel's strongest bin, Hz; its bins are a third apart."""
    spectrum = np.abs(np.fft.rfft(audio[0] * np.hanning(audio.shape[1])))
    return float(np.argmax(spectrum)) * RATE / audio.shape[1]


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """Write a song of 48 kHz with two of four stems; give the folder it lies in."""
    folder = tmp_path / "songs" / "one"
    folder.mkdir(parents=True)
    for source, hertz in (("vocals", 440), ("bass", 110)):
        soundfile.write(folder / f"{source}.wav", tone(hertz, 48_000).T, 48_000, "FLOAT")
    return folder.parent


@pytest.mark.parametrize("semitones", [-3.0, 0.0, 2.0])
@pytest.mark.parametrize("tempo", [0.88, 1.0, 1.12])
def test_pitch_and_tempo_change_apart(semitones: float, tempo: float) -> None:
    audio = tone(440)
    made = varied(audio, semitones, tempo)
    assert made.dtype == np.float32
    assert made.shape == (2, round(SECONDS * RATE / tempo))
    wanted = 440 * 2 ** (semitones / 12)
    assert pitch(made) == pytest.approx(wanted, rel=0.003), "5 cents, which nobody hears"
    inner = made[:, RATE // 2 : -RATE // 2]
    levels = np.sqrt(np.mean(np.square(inner, dtype=np.float64), axis=1))
    # Measured of tones from 110 to 1000 Hz: up to 2.5 % of the level is lost, none of the place.
    assert levels[0] == pytest.approx(0.5 / np.sqrt(2), rel=0.03)
    assert levels[1] == pytest.approx(levels[0] / 2, rel=1e-3)


@pytest.mark.parametrize("tempo", [0.88, 1.0, 1.12])
def test_what_was_struck_lies_where_the_tempo_puts_it(tempo: float) -> None:
    made = np.abs(varied(clicks(), 1.0, tempo)[0])
    for second in (1, 2):
        at = round(second * RATE / tempo)
        around = made[at - RATE // 4 : at + RATE // 4]
        middle = np.average(np.arange(len(around)), weights=np.square(around)) - RATE // 4
        # Blocks of 0.12 s smear it over some hundredths of a second.
        assert middle / RATE == pytest.approx(0, abs=0.02)


def test_a_copy_has_its_songs_stems_at_one_pitch_and_tempo(song: Path, tmp_path: Path) -> None:
    out = tmp_path / "varied"
    assert run(["dataset", "vary", str(song), "-o", str(out), "--copies", "3", "-q"]) == 0
    tracks = find_tracks(out)
    assert [track.name for track in tracks] == [f"one-varied-{copy:02d}" for copy in (1, 2, 3)]
    changes = []
    for track in tracks:
        audio = read_track(track)
        assert audio.present == {"vocals", "bass"}
        assert audio.sample_rate == RATE
        vocals, bass = (audio.stems[SOURCES.index(source)] for source in ("vocals", "bass"))
        semitones = 12 * np.log2(pitch(vocals) / 440)
        # The lower a tone, the less exact: 17 cents off were measured at 110 Hz.
        assert 12 * np.log2(pitch(bass) / 110) == pytest.approx(semitones, abs=0.2)
        tempo = SECONDS * RATE / vocals.shape[1]
        assert abs(semitones) <= 3.02
        assert abs(tempo - 1) <= 0.1201
        changes.append((semitones, tempo))
    assert len({round(semitones, 1) for semitones, _ in changes}) == 3
    assert len({round(tempo, 3) for _, tempo in changes}) == 3


def test_a_copy_depends_on_its_name_and_the_seed_alone(song: Path, tmp_path: Path) -> None:
    def made(name: str, *more: str) -> bytes:
        out = tmp_path / name
        assert run(["dataset", "vary", str(song), "-o", str(out), "-q", *more]) == 0
        return (out / "one-varied-01" / "vocals.flac").read_bytes()

    first = made("a")
    assert made("b", "--copies", "2") == first
    assert made("c", "--seed", "1") != first


def test_a_song_of_many_channels_fails_and_the_rest_go_on(song: Path, tmp_path: Path) -> None:
    (song / "wide").mkdir()
    soundfile.write(song / "wide" / "vocals.wav", np.tile(tone(440)[0], (3, 1)).T, RATE)
    out = tmp_path / "varied"
    assert run(["dataset", "vary", str(song), "-o", str(out), "-q"]) == PARTIAL_BATCH
    assert [track.name for track in find_tracks(out)] == ["one-varied-01"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--semitones", "13"], "bad semitones: got 13"),
        (["--semitones", "nan"], "bad semitones: got nan"),
        (["--tempo", "-1"], "bad tempo: got -1"),
        (["--tempo", "60"], "bad tempo: got 60.0, wanted 0 to 50"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    song: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert run(["dataset", "vary", str(song), "-o", str(tmp_path / "out"), *more]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_copies_of_copies_and_none_twice(song: Path) -> None:
    for inside in (song, song / "varied", song.parent / "songs" / ".." / "songs" / "varied"):
        with pytest.raises(UsageError, match="the copies would lie among the songs"):
            vary_jobs([song], inside, VarySettings())
    with pytest.raises(UsageError, match=r"songs named twice: got .*one"):
        vary_jobs([song, song / "one"], song.parent / "out", VarySettings())


def test_any_array_gives_the_same() -> None:
    noise = np.random.default_rng(0).standard_normal((2, RATE)).astype(np.float32) / 8
    wanted = varied(noise, 1.0, 1.1)
    wide = np.zeros((2, RATE + 1), np.float32)
    wide[:, :-1] = noise
    frozen = noise.copy()
    frozen.flags.writeable = False
    for same in (np.asfortranarray(noise), wide[:, :-1], frozen):
        np.testing.assert_array_equal(varied(same, 1.0, 1.1), wanted)


def test_equal_channels_stay_equal(tmp_path: Path) -> None:
    """A recipe's ``pan`` takes them for a mono stem; of other rates, resampled, as well."""
    folder = tmp_path / "songs" / "one"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 48_000)
    soundfile.write(folder / "drums.wav", np.stack((noise, noise), axis=1), 48_000)
    out = tmp_path / "varied"
    assert run(["dataset", "vary", str(folder.parent), "-o", str(out), "-q"]) == 0
    left, right = read_track(*find_tracks(out)).stems[SOURCES.index("drums")]
    np.testing.assert_array_equal(left, right)


def test_no_copies_and_no_folder() -> None:
    with pytest.raises(UsageError, match="bad copies: got 0"):
        VarySettings(copies=0)
    with pytest.raises(InputError, match="no folder"):
        vary_jobs([Path("nowhere")], Path("out"), VarySettings())


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, song: Path) -> None:
    monkeypatch.setitem(sys.modules, "python_stretch", None)
    with pytest.raises(MissingExtraError, match=r"python_stretch.*python-stretch"):
        vary_jobs([song], song.parent / "out", VarySettings())
