"""The random remixes drawn from the store of decoded stems."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from conftest import StemMaker, write_folder
from stemsplit.config import SOURCES
from stemsplit.dataset import find_tracks
from stemsplit.errors import InputError, UsageError
from stemsplit.material import StoredStem, StoredTrack, active_level_db, store_tracks
from stemsplit.remix import Remixer, RemixSettings


def test_an_example_depends_on_its_seed_alone(stored: list[StoredTrack]) -> None:
    one, other = Remixer(stored, 8192), Remixer(stored, 8192)
    other.example((0, 1))
    for index in range(4):
        first, second = one.example((7, index)), other.example((7, index))
        np.testing.assert_array_equal(first.stems, second.stems)
    assert not np.array_equal(one.example((7, 0)).stems, one.example((7, 1)).stems)


def test_examples_have_four_sounding_stems_most_of_the_time(stored: list[StoredTrack]) -> None:
    remixer = Remixer(stored, 22050)
    examples = np.stack([remixer.example((1, index)).stems for index in range(40)])
    assert examples.shape == (40, 4, 2, 22050)
    sounding = np.square(examples).mean(axis=(2, 3)) > 1e-8
    assert 0.85 < sounding.mean() < 1  # a tenth of the stems of half the examples is left out


def test_levels_scatter_around_the_typical_ones(stored: list[StoredTrack]) -> None:
    remixer = Remixer(stored, 22050)
    examples = [remixer.example((2, index)).stems for index in range(200)]
    levels = np.array([[active_level_db(stem, 44100) or np.nan for stem in e] for e in examples])
    # Two normal gains of 4 dB each: 5.7 dB together, 0.4 dB of it left in the mean of 200.
    np.testing.assert_allclose(np.nanmean(levels, axis=0), [-22, -24, -24, -23], atol=2)
    assert np.all(np.abs(np.nanstd(levels, axis=0) - 5.7) < 1.5)


def test_every_source_is_needed(tmp_path: Path, make_stems: StemMaker) -> None:
    stems = make_stems(0.2)
    del stems["bass"]
    write_folder(tmp_path / "data" / "song", stems)
    tracks = store_tracks(find_tracks(tmp_path / "data"), tmp_path / "store")
    with pytest.raises(InputError, match="bass"):
        Remixer(tracks, 1024)


def test_single_stems_are_drawn_only_into_mixes(
    stored: list[StoredTrack], tmp_path: Path, make_stems: StemMaker
) -> None:
    vocals = {"vocals": make_stems(1.0, seed=9)["vocals"]}
    write_folder(tmp_path / "voices" / "singer", vocals)
    (singer,) = store_tracks(find_tracks(tmp_path / "voices"), tmp_path / "store")
    singer = dataclasses.replace(singer, coherent=False, weight=1000)
    songs = Remixer([*stored, singer], 4096, RemixSettings(coherent=1))
    for index in range(10):
        # The example is the one drawn without the singer: not even a draw is different.
        wanted = Remixer(stored, 4096, RemixSettings(coherent=1)).example((index,)).stems
        np.testing.assert_array_equal(songs.example((index,)).stems, wanted)
    mixes = Remixer([*stored, singer], 4096, RemixSettings(coherent=0, absent=0))
    assert all(mixes.example((index,)).stems.any(axis=(1, 2)).all() for index in range(10))
    with pytest.raises(InputError, match="coherent = 0"):
        Remixer([dataclasses.replace(track, coherent=False) for track in stored], 4096)


def test_borrowed_stems_replace_some_of_a_song(stored: list[StoredTrack]) -> None:
    plain = RemixSettings(coherent=1, level_spread_db=0, gain_spread_db=0, swap=0, flip=0)
    sources = len(SOURCES)
    # Songs of silence but one: what sounds in every stem of an example is that song's.
    quiet = [
        dataclasses.replace(track, stems=_silenced(track), coherent=False) for track in stored[1:]
    ]
    for share, low, high in ((0.0, 1, 1), (0.3, 0.6, 0.9), (1.0, 0.2, 0.5)):
        remixer = Remixer([stored[0], *quiet], 4096, dataclasses.replace(plain, borrowed=share))
        sounding = [
            remixer.example((index,)).stems.any(axis=(1, 2)).sum() / sources for index in range(60)
        ]
        # Two of three songs that could lend are silent: 1 - 2/3 of the share sounds.
        assert low <= np.mean(sounding) <= high


def test_doubled_stems_have_a_second_one_from_anywhere(stored: list[StoredTrack]) -> None:
    plain = RemixSettings(coherent=1, level_spread_db=0, gain_spread_db=0, swap=0, flip=0)
    # One song has all four stems, and another of silence lends none that could be heard.
    silent = dataclasses.replace(stored[1], stems=_silenced(stored[1]), coherent=False, weight=1e9)
    single = Remixer([stored[0], silent], 4096, plain)
    doubled = Remixer([stored[0], silent], 4096, dataclasses.replace(plain, doubled=1))
    for index in range(5):
        # Both have half of the power: of the song's alone 3 dB less are left.
        one, two = single.example((index,)).stems, doubled.example((index,)).stems
        np.testing.assert_allclose(two[0], one[0] * 0.5**0.5, rtol=1e-6)
    lent = Remixer(stored, 4096, dataclasses.replace(plain, doubled=1)).example((0,)).stems
    assert not np.allclose(lent[0], single.example((0,)).stems[0] * 0.5**0.5)


def test_a_backing_is_heard_whole_and_under_a_voice(stored: list[StoredTrack]) -> None:
    vocals, other = SOURCES.index("vocals"), SOURCES.index("other")
    plain = RemixSettings(coherent=1, absent=0, borrowed=1, level_spread_db=0, gain_spread_db=0)
    unsung = dataclasses.replace(stored[0].stems["drums"], level_db=-10.0)
    backing = StoredTrack("b", stored[0].samples, 44100, {"other": unsung}, backing=True)
    singers = [dataclasses.replace(track, weight=1e-9) for track in stored]
    remixer = Remixer([backing, *singers], 4096, plain)
    drawn = [remixer.example((index,)) for index in range(20)]
    assert not any(example.split for example in drawn)
    sounding = np.array([example.stems.any(axis=(1, 2)) for example in drawn])
    assert sounding[:, [vocals, other]].all()
    assert not np.delete(sounding, [vocals, other], axis=1).any()
    # No backing is lent: the examples are those drawn without it.
    heavy = dataclasses.replace(backing, weight=1e9)
    with_it, without = (
        Remixer(tracks, 4096, RemixSettings(coherent=0)) for tracks in ([heavy, *stored], stored)
    )
    for index in range(20):
        mixed = with_it.example((index,))
        assert mixed.split
        np.testing.assert_array_equal(mixed.stems, without.example((index,)).stems)
    with pytest.raises(InputError, match="no training track has vocals"):
        Remixer([backing], 4096)
    with pytest.raises(InputError, match="nothing sounds in the backing b"):
        Remixer([dataclasses.replace(backing, stems={}), *stored], 4096)


def test_a_backing_may_have_a_voice_of_its_own(stored: list[StoredTrack]) -> None:
    own = dataclasses.replace(
        stored[0], stems={name: stored[0].stems[name] for name in ("vocals", "other")}
    )
    silent = [dataclasses.replace(t, stems=_silenced(t), coherent=False) for t in stored[1:]]
    settings = RemixSettings(coherent=1, absent=0, level_spread_db=0, gain_spread_db=0)
    remixer = Remixer([dataclasses.replace(own, backing=True), *silent], 22050, settings)
    levels = []
    for index in range(20):
        stems = remixer.example((index,)).stems
        levels.append([active_level_db(stems[i], 44100) for i in range(len(SOURCES))])
        assert stems[SOURCES.index("vocals")].any()
    # The backing is as loud as drums, bass and other together; the excerpt differs from the whole.
    assert np.mean([level[SOURCES.index("other")] for level in levels]) == pytest.approx(-19, abs=1)


def _silenced(track: StoredTrack) -> dict[str, StoredStem]:
    return {name: dataclasses.replace(stem, scale=0.0) for name, stem in track.stems.items()}


def test_varispeed_changes_the_pitch(stored: list[StoredTrack]) -> None:
    """The tune's bass is a sine of 55 Hz, and tape 10 % faster makes it 60.5 Hz."""
    settings = RemixSettings(varispeed=0.1)
    remixer = Remixer(stored, 1 << 15, settings)
    bass = SOURCES.index("bass")
    peaks = set()
    for index in range(12):
        heard = remixer.example((0, index)).stems[bass, 0]
        if heard.any():
            spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard)), 1 << 18))
            peaks.add(round(float(np.argmax(spectrum)) * 44_100 / (1 << 18), 1))
    # Half a bin of the window is 0.7 Hz.
    assert all(55 * 0.9 - 0.7 < peak < 55 * 1.1 + 0.7 for peak in peaks)
    assert len(peaks) > 5


def test_an_example_does_not_run_past_the_end_of_its_song(tmp_path: Path) -> None:
    """Where the song is long enough at the example's speed; it is searched for sound there too."""
    rng = np.random.default_rng(0)
    noise = {source: rng.uniform(-0.5, 0.5, (2, 30_000)).astype(np.float32) for source in SOURCES}
    write_folder(tmp_path / "data" / "song", noise)
    tracks = store_tracks(find_tracks(tmp_path / "data"), tmp_path / "store")
    remixer = Remixer(tracks, 20_000, RemixSettings(varispeed=0.3, absent=0, doubled=0.5))
    for index in range(60):
        stems = remixer.example((3, index)).stems
        assert np.all(np.abs(stems[..., -100:]).max(axis=(1, 2)) > 0)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="bad coherent"):
        RemixSettings(coherent=2)
    with pytest.raises(UsageError, match="bad varispeed"):
        RemixSettings(varispeed=-1)
    with pytest.raises(UsageError, match="bad level_spread_db"):
        RemixSettings(level_spread_db=-1)


def test_a_silent_song_is_never_drawn_as_a_whole(stored: list[StoredTrack]) -> None:
    silent = dataclasses.replace(stored[0], name="silence", stems={}, weight=1e6)
    remixer = Remixer([silent, *stored], 4096, RemixSettings(coherent=1))
    assert remixer.example((3, 0)).stems.any()
    with pytest.raises(InputError, match="may stand for a whole song"):
        Remixer([silent, *(dataclasses.replace(t, coherent=False) for t in stored)], 4096)


def test_mono_stems_get_a_place_and_a_room(tmp_path: Path, make_stems: StemMaker) -> None:
    stems = make_stems(1.0, channels=1) | {"other": make_stems(1.0)["other"]}
    write_folder(tmp_path / "data" / "song", stems)
    tracks = store_tracks(find_tracks(tmp_path / "data"), tmp_path / "store")
    dry = RemixSettings(coherent=1, level_spread_db=0, gain_spread_db=0, swap=0, flip=0)
    bass, other = SOURCES.index("bass"), SOURCES.index("other")
    plain = Remixer(tracks, 8192, dry).example((0,)).stems
    placed = Remixer(tracks, 8192, dataclasses.replace(dry, pan=1)).example((0,)).stems
    np.testing.assert_array_equal(plain[other], placed[other], "a stem in stereo stays")
    np.testing.assert_array_equal(plain[bass, 0], plain[bass, 1])
    assert not np.array_equal(placed[bass, 0], placed[bass, 1])
    # Panning keeps the power of the two channels together; 16 bits and float32 round it.
    power = np.square(plain[bass]).sum(), np.square(placed[bass]).sum()
    assert power[0] == pytest.approx(power[1], rel=1e-4)
    toned = Remixer(tracks, 8192, dataclasses.replace(dry, pan=1, equalise_db=3)).example((0,))
    loud = np.square(toned.stems[bass]).sum(axis=1)
    assert not 0.9 < loud[0] / loud[1] < 1 / 0.9, "with a tone too"
    wet = Remixer(tracks, 8192, dataclasses.replace(dry, reverb=1)).example((0,)).stems
    assert wet.shape == plain.shape
    assert not np.allclose(wet[other], plain[other])
    with pytest.raises(UsageError, match="bad pan"):
        RemixSettings(pan=2)


def test_equalising_changes_the_tone_and_keeps_the_length(stored: list[StoredTrack]) -> None:
    plain = RemixSettings(coherent=1, level_spread_db=0, gain_spread_db=0, swap=0, flip=0)
    changed = dataclasses.replace(plain, equalise_db=6)
    one = Remixer(stored, 1 << 14, plain).example((3,)).stems
    other = Remixer(stored, 1 << 14, changed).example((3,)).stems
    assert one.shape == other.shape
    window = np.hanning(1 << 14)  # what rings past an end is cut off
    spectra = [np.abs(np.fft.rfft(window * stems[1, 0])) for stems in (other, one)]
    gains = spectra[0] / spectra[1]  # drums: all bins
    gains_db = 20 * np.log10(gains[10:-10])
    assert 2 < gains_db.std() < 12
    # Neighbouring bins hardly differ: below 0.1 octaves, lines of a few dB an octave.
    assert np.abs(np.diff(gains_db[400:])).max() < 0.5
