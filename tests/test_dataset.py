"""Reading collections in MUSDB18's layouts."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import StemMaker, write_folder
from stemsplit.config import SOURCES
from stemsplit.dataset import Track, find_tracks, read_track
from stemsplit.errors import AudioError, InputError, MissingExtraError


def stem_mp4() -> Path:
    """Find the real MUSDB18 stem file in the stempeg package, which itself is not run."""
    spec = importlib.util.find_spec("stempeg")
    assert spec is not None
    assert spec.origin is not None
    (path,) = (Path(spec.origin).parent / "data").glob("*.stem.mp4")
    return path


@pytest.mark.parametrize(("suffix", "tolerance"), [(".wav", 0.0), (".flac", 1e-3), (".ogg", 0.7)])
def test_reads_a_folder_of_stems(
    tmp_path: Path, make_stems: StemMaker, suffix: str, tolerance: float
) -> None:
    """WAV is exact here, FLAC rounds to 16 bits, and Vorbis recodes noise: relative to the norm."""
    stems = make_stems(0.5)
    write_folder(tmp_path / "train" / "A song", stems, suffix)
    (track,) = find_tracks(tmp_path)
    assert track.name == "train/A song"
    audio = read_track(track)
    assert audio.sample_rate == 44100
    assert audio.present == set(SOURCES)
    assert audio.stems.shape == (4, 2, 22050)
    for index, source in enumerate(SOURCES):
        error = np.linalg.norm(audio.stems[index] - stems[source])
        assert error <= tolerance * np.linalg.norm(stems[source])
    np.testing.assert_allclose(audio.mixture, audio.stems.sum(axis=0), atol=1e-6)


def test_of_several_files_of_a_stem_the_one_without_loss_counts(
    tmp_path: Path, make_stems: StemMaker
) -> None:
    song = tmp_path / "song"
    for suffix in (".ogg", ".flac", ".wav"):
        write_folder(tmp_path / f"of {suffix}", make_stems(0.1), suffix)
        song.mkdir(exist_ok=True)
        for path in (tmp_path / f"of {suffix}").iterdir():
            path.rename(song / path.name)
        assert {path.suffix for path in Track("song", song).files.values()} == {suffix}


def test_takes_the_mixture_a_track_has(tmp_path: Path, make_stems: StemMaker) -> None:
    stems = make_stems(0.1)
    mixture = 0.5 * np.sum(list(stems.values()), axis=0)
    write_folder(tmp_path / "song", {**stems, "mixture": mixture})
    audio = read_track(find_tracks(tmp_path)[0])
    np.testing.assert_array_equal(audio.mixture, mixture.astype(np.float32))


def test_a_missing_stem_is_silent_and_a_mono_one_sounds_on_both_channels(
    tmp_path: Path, make_stems: StemMaker
) -> None:
    stems = make_stems(0.1)
    del stems["bass"]
    stems["vocals"] = stems["vocals"][:1]
    write_folder(tmp_path / "song", stems)
    audio = read_track(find_tracks(tmp_path)[0])
    assert audio.present == {"vocals", "drums", "other"}
    assert not audio.stems[SOURCES.index("bass")].any()
    np.testing.assert_array_equal(audio.stems[0, 0], audio.stems[0, 1])


def test_a_folder_may_be_a_track_itself(tmp_path: Path, make_stems: StemMaker) -> None:
    write_folder(tmp_path / "song", make_stems(0.1))
    assert [track.name for track in find_tracks(tmp_path / "song")] == ["song"]


def test_reads_a_stem_mp4() -> None:
    path = stem_mp4()
    (track,) = find_tracks(path.parent)
    assert track.name == "The Easton Ellises - Falcon 69"
    audio = read_track(track)
    assert audio.sample_rate == 44100
    assert audio.stems.shape[:2] == (4, 2)
    # AAC is lossy and the mixture was coded by itself, so stems only nearly add up; the first and
    # last frames of the cut file are the codec's.
    inside = slice(44100, -44100)
    rest = (audio.mixture - audio.stems.sum(axis=0))[:, inside]
    assert np.square(rest).mean() < 0.01 * np.square(audio.mixture[:, inside]).mean()
    # The order of streams: bass is the stem with the least above 1 kHz.
    spectra = np.abs(np.fft.rfft(audio.stems[:, 0, inside])) ** 2
    high = spectra[:, spectra.shape[1] // 22 :].sum(axis=1) / spectra.sum(axis=1)
    assert high.argmin() == SOURCES.index("bass")


def test_a_stem_mp4_without_pyav_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r'pip install "av>=13"'):
        read_track(find_tracks(stem_mp4().parent)[0])


def test_a_broken_stem_mp4_is_an_audio_error(tmp_path: Path) -> None:
    (tmp_path / "broken.stem.mp4").write_bytes(b"no MP4 at all")
    with pytest.raises(AudioError, match="broken"):
        read_track(find_tracks(tmp_path)[0])


def test_stems_of_different_length_are_refused(tmp_path: Path, make_stems: StemMaker) -> None:
    stems = make_stems(0.1)
    stems["bass"] = stems["bass"][:, :-1]
    write_folder(tmp_path / "song", stems)
    with pytest.raises(AudioError, match="lengths in samples"):
        read_track(find_tracks(tmp_path)[0])


def test_stems_of_different_rate_are_refused(tmp_path: Path, make_stems: StemMaker) -> None:
    stems = make_stems(0.1)
    write_folder(tmp_path / "song", stems)
    soundfile.write(tmp_path / "song" / "bass.wav", stems["bass"].T, 48000)
    with pytest.raises(AudioError, match="sample rates"):
        read_track(find_tracks(tmp_path)[0])


def test_what_is_hidden_is_no_track(tmp_path: Path, make_stems: StemMaker) -> None:
    write_folder(tmp_path / "song", make_stems(0.1))
    (tmp_path / "._song.stem.mp4").write_bytes(b"what a Mac leaves")
    (tmp_path / ".Trash").mkdir()
    (tmp_path / ".Trash" / "old.stem.mp4").write_bytes(b"")
    assert [track.name for track in find_tracks(tmp_path)] == ["song"]


def test_a_folder_without_tracks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tracks"):
        find_tracks(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        find_tracks(tmp_path / "missing")
