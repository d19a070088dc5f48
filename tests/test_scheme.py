"""The packaged compact model around its network: channels, segments, and masks that add up."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import StemMaker
from stemsplit.config import SOURCES
from stemsplit.masks import full_band_masks
from stemsplit.resample import Resampler
from stemsplit.separate import Separator

# Stems of masks from float32 networks, whose rounding differs by the frames they run on at a time.
ROUNDING = 1e-4


@pytest.fixture(scope="module")
def separator() -> Separator:
    return Separator("tiny", "cpu", precision="float32")


@pytest.fixture(scope="module")
def mixture(make_stems: StemMaker) -> np.ndarray:
    return np.sum(list(make_stems(6.0).values()), axis=0)


def stems_of(separator: Separator, mixture: np.ndarray, rate: int = 44100, **how: object):
    stems = separator.separate(mixture, rate, **how).stems
    return np.stack([stems[source] for source in SOURCES])


@pytest.mark.parametrize("soft", [None, True, False])
@pytest.mark.parametrize("rate", [44100, 48000, 16000])
def test_stems_add_up_to_the_mixture(
    separator: Separator, mixture: np.ndarray, rate: int, soft: bool | None
) -> None:
    stems = stems_of(separator, mixture[:, :60000], rate, soft=soft)
    # Rounding of float32 transforms of a song below full scale: -120 dB.
    assert np.abs(stems.sum(axis=0) - mixture[:, :60000]).max() < 1e-6


# Resampled forth and back, 0.011 of the song's norm were measured; 32 kHz lack what is above 16.
@pytest.mark.parametrize(("rate", "bar"), [(96_000, 0.02), (48_000, 0.02), (32_000, 0.05)])
def test_a_song_of_another_rate_is_separated_alike(
    separator: Separator, mixture: np.ndarray, rate: int, bar: float
) -> None:
    there, back = Resampler(2, 44_100, rate), Resampler(8, rate, 44_100)
    song = np.concatenate([there.process(mixture), there.finish()], axis=1)
    rows = stems_of(separator, song, rate).reshape(8, -1)
    got = np.concatenate([back.process(rows), back.finish(mixture.shape[1])], axis=1)
    wanted = stems_of(separator, mixture).reshape(8, -1)
    assert np.linalg.norm(got - wanted) < bar * np.linalg.norm(mixture)
    assert np.linalg.norm(wanted) > 0.5 * np.linalg.norm(mixture)


@pytest.mark.parametrize("segment", [0.3, 1.0, 2.7])
def test_segments_do_not_change_the_result(
    separator: Separator, mixture: np.ndarray, segment: float
) -> None:
    whole = stems_of(separator, mixture, segment_seconds=60)
    parts = stems_of(separator, mixture, segment_seconds=segment)
    assert np.abs(whole - parts).max() < ROUNDING


def test_pairs_of_channels_are_taken_by_themselves(
    separator: Separator, mixture: np.ndarray
) -> None:
    short = mixture[:, :50000]
    quiet = 0.3 * short[::-1]
    together = stems_of(separator, np.concatenate((short, quiet, short[:1])))
    assert np.abs(together[:, :2] - stems_of(separator, short)).max() < ROUNDING
    assert np.abs(together[:, 2:4] - stems_of(separator, quiet)).max() < ROUNDING
    assert np.abs(together[:, 4:] - stems_of(separator, short[:1])).max() < ROUNDING


def test_one_channel_is_as_two_equal_ones(separator: Separator, mixture: np.ndarray) -> None:
    mono = mixture[:1, :50000]
    both = stems_of(separator, np.concatenate((mono, mono)))
    # Its mask is the mean of left's and right's.
    middle = both.mean(axis=1, keepdims=True)
    assert np.abs(stems_of(separator, mono) - middle).max() < ROUNDING


def test_predicted_masks_are_those_that_are_applied(
    separator: Separator, mixture: np.ndarray
) -> None:
    prediction = separator.predict(mixture, 44100)
    assert prediction.probabilities.shape == (4, *prediction.spec.shape)
    np.testing.assert_allclose(prediction.probabilities.sum(axis=0), 1, atol=1e-5)
    hard = full_band_masks(prediction.probabilities, 2049, soft=False, exclusive=True)
    assert ((hard == 0) | (hard == 1)).all()


def test_tiny_spends_no_more_than_one_source_of_the_paper(
    separator: Separator,
) -> None:
    assert separator.parameters <= 323_233
