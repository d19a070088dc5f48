"""Tracks made of recordings: single channels, whole songs, and stretches of one stem alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemsplit.cli.app import run
from stemsplit.config import SOURCES
from stemsplit.dataset import Audio, find_tracks, read_track
from stemsplit.errors import PARTIAL_BATCH, InputError, UsageError
from stemsplit.making import recordings
from stemsplit.making.collection import Job, Made, make_collection
from stemsplit.making.solos import SoloSettings, solo_jobs, solos

RATE = 44_100


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """Write 2.6 s at 16 kHz: a chord on the left, a voice of 440 Hz on the right."""
    t = np.arange(round(2.6 * 16_000)) / 16_000
    path = tmp_path / "pairs" / "singer.wav"
    path.parent.mkdir()
    both = np.stack((np.sin(2 * np.pi * 100 * t), 0.5 * np.sin(2 * np.pi * 440 * t)), axis=1)
    soundfile.write(path, 0.5 * both, 16_000)
    return path


def test_a_channel_becomes_tracks(tmp_path: Path, pair: Path) -> None:
    arguments = ["dataset", "channel", pair.parent, "-o", tmp_path / "out", "--channel", "2", "-q"]
    assert run([*map(str, arguments), "--seconds", "1"]) == 0
    tracks = find_tracks(tmp_path / "out")
    assert [track.name for track in tracks] == ["singer-001", "singer-002", "singer-003"]
    lengths = []
    for track in tracks:
        audio = read_track(track)
        assert audio.present == {"vocals"}
        assert audio.sample_rate == RATE
        spectrum = np.abs(np.fft.rfft(audio.stems[0, 0]))
        hertz = np.argmax(spectrum) * RATE / audio.stems.shape[2]
        assert hertz == pytest.approx(440, abs=1 / 0.6), "a bin of the shortest piece"
        lengths.append(audio.stems.shape[2])
    assert lengths == [RATE, RATE, round(0.6 * RATE)]


def test_a_path_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file: .*none\.wav"):
        recordings.find_recordings([tmp_path / "none.wav"])


def test_a_voice_comes_with_its_backing(tmp_path: Path, pair: Path) -> None:
    arguments = ["dataset", "channel", pair, "-o", tmp_path / "out", "--channel", "2", "-q"]
    assert run([*map(str, arguments), "--backing", "1"]) == 0
    audio = read_track(*find_tracks(tmp_path / "out"))
    assert audio.present == {"vocals", "other"}
    for source, hertz in (("vocals", 440), ("other", 100)):
        spectrum = np.abs(np.fft.rfft(audio.stems[SOURCES.index(source), 0]))
        assert np.argmax(spectrum) * RATE / audio.stems.shape[2] == pytest.approx(hertz, abs=0.4)


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--channel", "3"], 65, "no channel 3"),
        (["--channel", "2", "--backing", "3"], 65, "no channel 3"),
        (["--channel", "2", "--backing", "2"], 2, "one channel"),
        (["--channel", "2", "--backing", "1", "--stem", "bass"], 2, "--backing is a voice's"),
        (["--channel", "1", "--stem", "kazoo"], 2, "bad --stem: got kazoo"),
        (["--channel", "1", "--seconds", "0"], 2, "bad seconds"),
    ],
)
def test_bad_channels_are_refused(
    tmp_path: Path,
    pair: Path,
    capfd: pytest.CaptureFixture[str],
    more: list[str],
    code: int,
    message: str,
) -> None:
    arguments = ["dataset", "channel", str(pair), "-o", str(tmp_path / "out"), *more]
    assert run(arguments) == code
    assert message in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_whole_recordings_become_tracks(tmp_path: Path) -> None:
    audio = 0.5 * np.random.default_rng(0).uniform(-1, 1, (RATE, 2))
    soundfile.write(tmp_path / "song.wav", audio, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "surround.wav", np.zeros((100, 6)), RATE)
    arguments = ["dataset", "whole", str(tmp_path / "song.wav"), "-o", str(tmp_path / "out"), "-q"]
    assert run([*arguments, "--seconds", "0.5"]) == 0
    tracks = find_tracks(tmp_path / "out")
    assert [track.name for track in tracks] == ["song-001", "song-002"]
    got = np.concatenate([read_track(track).stems[SOURCES.index("other")] for track in tracks], 1)
    # One gain for each piece puts its peak at -1 dB.
    pieces = np.stack(np.split(audio.T, 2, axis=1))
    gains = 10 ** (-1 / 20) / np.abs(pieces).max(axis=(1, 2))
    wanted = np.concatenate(list(pieces * gains[:, None, None]), axis=1)
    np.testing.assert_allclose(got, wanted, atol=2**-15)
    assert (
        run(["dataset", "whole", str(tmp_path / "surround.wav"), "-o", str(tmp_path / "o")]) == 65
    )


def test_a_recording_that_will_not_do_stops_no_other(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    audio = 0.5 * np.random.default_rng(0).uniform(-1, 1, (RATE, 2))
    soundfile.write(tmp_path / "song.wav", audio, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "surround.wav", np.zeros((100, 6)), RATE)
    (tmp_path / "text.wav").write_text("la la la")
    assert run(["dataset", "whole", str(tmp_path), "-o", str(tmp_path / "o")]) == PARTIAL_BATCH
    err = capfd.readouterr().err
    assert "surround: too many channels" in err
    assert "text: cannot read" in err
    assert "3 tracks: 1 made, 0 skipped, 0 silent, 2 failed" in err


def test_where_nothing_plays_is_silent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise of the last bit, made as loud as the rest, would pass for a stem."""
    rng = np.random.default_rng(0)
    audio = np.concatenate((rng.uniform(-0.5, 0.5, RATE), rng.integers(-1, 2, RATE) * 2.0**-15))
    soundfile.write(tmp_path / "song.wav", audio, RATE, subtype="PCM_16")
    arguments = ["dataset", "whole", str(tmp_path / "song.wav"), "-o", str(tmp_path / "out")]
    assert run([*arguments, "--seconds", "1"]) == 0
    assert "2 tracks: 1 made, 0 skipped, 1 silent, 0 failed" in capfd.readouterr().err
    assert [track.name for track in find_tracks(tmp_path / "out")] == ["song-001"]
    monkeypatch.setattr(recordings, "read_channels", lambda *_: pytest.fail("known by now"))
    assert run([*arguments, "--seconds", "1"]) == 0
    assert "2 tracks: 0 made, 1 skipped, 1 silent, 0 failed" in capfd.readouterr().err


def test_calls_at_the_same_time_share_a_folder(tmp_path: Path) -> None:
    made: list[list[Made]] = []
    stems = {"bass": np.full((2, RATE), 0.5, np.float32)}

    def job(name: str, *, first: bool) -> Job:
        def make(_: np.random.Generator) -> dict[str, Audio]:
            if first:  # while this is being made, another call makes both
                others = [job("one", first=False), job("two", first=False)]
                made.append(make_collection(others, tmp_path))
            return stems

        return Job(name, make)

    made.append(make_collection([job("one", first=True), job("two", first=False)], tmp_path))
    assert [[track.status for track in call] for call in made] == [["made"] * 2, ["skipped"] * 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def split_at_1_khz(audio: Audio) -> dict[str, Audio]:
    """Hear bass below 1 kHz, vocals above."""
    spectrum = np.fft.rfft(audio, axis=1)
    spectrum[:, np.fft.rfftfreq(audio.shape[1], 1 / RATE) > 1000] = 0
    bass = np.fft.irfft(spectrum, audio.shape[1]).astype(np.float32)
    silence = np.zeros_like(audio)
    return {"vocals": audio - bass, "drums": silence, "bass": bass, "other": silence}


def write_song(path: Path) -> Audio:
    """Write 6 s of a low tone, 4 s of both, 8 s of a high one; give it as it is read."""
    t = np.arange(18 * RATE) / RATE
    low, high = np.sin(2 * np.pi * 100 * t), np.sin(2 * np.pi * 3000 * t)
    song = 0.4 * (low * (t < 10) + high * (t >= 6))
    soundfile.write(path, np.stack((song, song), axis=1), RATE, subtype="FLOAT")
    return np.float32([song, song])


@pytest.mark.parametrize("instrumental", [False, True])
def test_solos_are_cut_out(tmp_path: Path, *, instrumental: bool) -> None:
    song = write_song(tmp_path / "song.wav")
    settings = SoloSettings(instrumental=instrumental, at_least=5)
    jobs = solo_jobs([tmp_path / "song.wav"], split_at_1_khz, settings)
    made = make_collection(jobs, tmp_path / "out")
    high = "other" if instrumental else "vocals"
    names = {one.name for one in made if one.status == "made"}
    assert names == {"song-bass", f"song-{high}"}
    for track in find_tracks(tmp_path / "out"):
        audio = read_track(track)
        (source,) = audio.present
        stem = audio.stems[SOURCES.index(source)]
        wanted = song[:, : 6 * RATE] if source == "bass" else song[:, 10 * RATE :]
        assert stem.shape == wanted.shape, "whole half seconds in which nothing else plays"
        inner = slice(RATE, 5 * RATE)
        gain = stem[0, inner] @ wanted[0, inner] / np.square(wanted[0, inner]).sum()
        np.testing.assert_allclose(stem[:, inner], gain * wanted[:, inner], atol=2**-14)
        assert np.all(stem[:, 0] == 0), "faded in"


def test_where_there_was_no_solo_others_may_be_found_by_other_settings(tmp_path: Path) -> None:
    t = np.arange(8 * RATE) / RATE
    soundfile.write(tmp_path / "song.wav", 0.5 * np.sin(2 * np.pi * 100 * t), RATE)

    def statuses(at_least: float, model: str = "one") -> list[str]:
        settings = SoloSettings(at_least=at_least)
        jobs = solo_jobs([tmp_path / "song.wav"], heard, settings, model)
        return [made.status for made in make_collection(jobs, tmp_path / "out")]

    calls = []

    def heard(audio: Audio) -> dict[str, Audio]:
        calls.append(1)
        return split_at_1_khz(audio)

    assert statuses(100) == ["silent"] * 4
    assert statuses(100) == ["silent"] * 4
    assert len(calls) == 1
    assert statuses(100, "other") == ["silent"] * 4
    assert len(calls) == 2
    assert statuses(2).count("made") == 1


def test_quiet_companions_and_rests_do_not_end_a_solo() -> None:
    energies = np.full((4, 20), 1e-9)
    energies[1, :16] = 1e-3
    energies[1, 4] = 0  # a rest
    half = RATE // 2
    assert list(solos(energies, 1, SoloSettings())) == [(0, 20 * half)]
    assert not list(solos(energies, 0, SoloSettings()))
    energies[0, :10] = 1e-4  # 10 dB below: one such half second in three seconds passes
    assert list(solos(energies, 1, SoloSettings(at_least=3))) == [(9 * half, 20 * half)]
    assert list(solos(energies, 1, SoloSettings(below=9))) == [(0, 20 * half)]
    assert not list(solos(energies[:, :3], 1, SoloSettings()))
    energies = np.zeros((4, 60))
    energies[1] = 1e-2
    energies[0, 20] = energies[0, 25] = 1.5e-3
    (_, end), (start, _) = solos(energies, 1, SoloSettings())
    assert start == end  # what both see is heard once
    with pytest.raises(UsageError, match="bad below"):
        SoloSettings(below=0)


def test_a_packaged_model_hears_solos(tmp_path: Path) -> None:
    """Bursts of noise, twice a second, are drums; what has six channels is told of and left."""
    rng = np.random.default_rng(1)
    t = np.arange(12 * RATE) / RATE
    hits = rng.standard_normal(len(t)) * np.exp(-30 * (t % 0.5)) * 0.2
    soundfile.write(tmp_path / "hits.wav", np.stack((hits, hits), axis=1), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "surround.wav", np.zeros((RATE, 6)), RATE)
    songs = [str(tmp_path / "hits.wav"), str(tmp_path / "surround.wav")]
    code = run(["dataset", "solos", *songs, "-o", str(tmp_path / "out"), "--model", "tiny", "-q"])
    assert code == PARTIAL_BATCH
    assert [track.name for track in find_tracks(tmp_path / "out")] == ["hits-drums"]
