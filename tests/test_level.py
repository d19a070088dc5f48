"""How loud a model hears a song: quiet ones as the songs it knows, others as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemsplit import Separator, separate_file
from stemsplit.level import AS_IT_IS, hearing_gains
from stemsplit.separate import Audio


def noise(peak: float, samples: int = 50_000, seed: int = 0) -> Audio:
    rng = np.random.default_rng(seed)
    return rng.uniform(-peak, peak, (2, samples)).astype(np.float32)


@pytest.fixture(scope="module")
def tiny() -> Separator:
    return Separator("tiny", "cpu", precision="float32")


def test_a_quiet_song_is_brought_to_minus_20_db() -> None:
    quiet = noise(0.01)
    (gain,) = hearing_gains([quiet])
    assert np.sqrt(np.mean(np.square(quiet * gain, dtype=np.float64))) == pytest.approx(0.1)


@pytest.mark.parametrize("peak", [0.2, 0.5])  # such noise has a third of it squared as its power
def test_a_song_of_a_usual_level_is_heard_as_it_is(peak: float) -> None:
    assert hearing_gains([noise(peak)]) == AS_IT_IS


@pytest.mark.parametrize("peak", [0.6, 3.0, 1e10])
def test_a_loud_song_is_brought_to_minus_10_db(peak: float) -> None:
    loud = noise(peak)
    (gain,) = hearing_gains([loud[:, :30_000], loud[:, 30_000:]])
    level = np.sqrt(np.mean(np.square(loud * gain, dtype=np.float64)))
    assert 20 * np.log10(level) == pytest.approx(-10)


def test_silence_is_heard_as_it_is() -> None:
    assert hearing_gains([np.zeros((2, 100), np.float32)]) == AS_IT_IS
    assert hearing_gains([]) == AS_IT_IS


def test_no_peak_is_brought_beyond_full_scale() -> None:
    sparse = np.zeros((1, 100_000), np.float32)
    sparse[0, 5_000] = 0.25
    assert hearing_gains([sparse]) == (4,)
    sparse[0, 6_000] = 1.5
    assert hearing_gains([sparse]) == AS_IT_IS


def test_what_is_next_to_nothing_stays_finite() -> None:
    assert hearing_gains([noise(1e-40)]) == hearing_gains([noise(1e-7)]) == (1000,)


def test_pairs_of_channels_are_heard_by_themselves() -> None:
    usual, quiet, loud = noise(0.5), noise(0.01, seed=1), noise(2.0, seed=3)
    (gain,), (less,) = hearing_gains([quiet]), hearing_gains([loud])
    assert hearing_gains([np.concatenate((usual, quiet, loud))]) == (1, gain, less)
    last = noise(0.02, seed=2)[:1]
    assert hearing_gains([np.concatenate((quiet, last))]) == (gain, *hearing_gains([last]))
    half = np.concatenate((quiet[:1], np.zeros_like(last)))  # as loud as half of its power
    assert hearing_gains([half]) == pytest.approx((hearing_gains([quiet[:1]])[0] * 2**0.5,))


@pytest.mark.parametrize("peak", [0.004, 0.05, 0.172, 0.174, 0.8])
def test_blocks_change_nothing(peak: float) -> None:
    """0.1 · √3 is the peak of uniform noise whose RMS is -20 dB: either side of the limit."""
    song = noise(peak)
    blocks = [song[:, start : start + 777] for start in range(0, song.shape[1], 777)]
    # float64 sums in another order
    assert hearing_gains(blocks) == pytest.approx(hearing_gains([song]), rel=1e-12)


@pytest.mark.parametrize(("peak", "factors"), [(0.125, (2.0**-4, 2.0**-9)), (1.0, (2.0, 2.0**30))])
def test_the_stems_of_an_odd_level_are_those_of_another(
    tiny: Separator, peak: float, factors: tuple[float, ...]
) -> None:
    """By a power of two, so that but for the rounding of one factor nothing differs."""
    song = noise(peak, 150_000)
    for factor in factors:
        other = tiny.separate(song * np.float32(factor), 44_100).stems
        for source, stem in tiny.separate(song, 44_100).stems.items():
            # float32: masks of some hundred layers' worth of rounding
            np.testing.assert_allclose(other[source] / factor, stem, atol=8e-5 * peak)


def test_a_quiet_file_is_heard_as_its_array(tiny: Separator, tmp_path: Path) -> None:
    song = noise(0.01, 60_000)
    soundfile.write(tmp_path / "song.wav", song.T, 44_100, subtype="FLOAT")
    result = separate_file(tmp_path / "song.wav", tmp_path / "out", separator=tiny)
    wanted = tiny.separate(song, 44_100).stems
    for source, path in result.stems.items():
        stem = soundfile.read(path, dtype="float32", always_2d=True)[0].T
        np.testing.assert_array_equal(stem, wanted[source])


def test_the_published_network_hears_songs_as_they_are() -> None:
    assert Separator("paper", "cpu").gains_for([noise(0.001)]) == AS_IT_IS


def test_predicted_masks_are_those_that_separate(tiny: Separator) -> None:
    song = noise(0.125, 60_000)
    quiet = tiny.predict(song / np.float32(64), 44_100).probabilities
    np.testing.assert_allclose(quiet, tiny.predict(song, 44_100).probabilities, atol=1e-5)
