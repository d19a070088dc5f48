"""Rooms and places between two channels."""

from __future__ import annotations

import numpy as np
import pytest

from stemsplit.effects import drawn_room, drawn_tone, equalised, panned, reverberate

RATE = 44_100


def test_a_room_keeps_the_direct_sound_and_rings_on() -> None:
    click = np.zeros((2, 2 * RATE), np.float32)
    click[:, 100] = 1
    heard = reverberate(click, RATE, drawn_room(2, RATE, np.random.default_rng(0)))
    assert heard.shape == click.shape
    assert heard.dtype == np.float32
    # Nothing comes before the click but the rounding of transforms of 2^18 points.
    assert np.abs(heard[:, :100]).max() < 1e-4
    tail = heard - click
    # The room's energy is between -20 and -6 dB of the click's; a little of it is cut at the end.
    energy_db = 10 * np.log10(np.square(tail).sum(axis=1))
    assert np.all((energy_db > -21) & (energy_db < -5))
    assert not np.allclose(tail[0], tail[1])
    early, late = tail[:, : RATE // 2], tail[:, RATE // 2 :]
    assert np.square(late).sum() < np.square(early).sum() / 4


def test_a_room_depends_on_the_generator_alone() -> None:
    audio = np.random.default_rng(1).standard_normal((1, 5000)).astype(np.float32)
    one, same = (
        reverberate(audio, RATE, drawn_room(1, RATE, np.random.default_rng(5))) for _ in range(2)
    )
    np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize(("place", "gains"), [(-1, (2**0.5, 0)), (0, (1, 1)), (1, (0, 2**0.5))])
def test_panning_keeps_the_power(place: float, gains: tuple[float, float]) -> None:
    mono = np.linspace(-1, 1, 7, dtype=np.float32)
    # Rounding of float32.
    np.testing.assert_allclose(panned(mono, place), np.outer(gains, mono), atol=1e-6)


def test_a_tone_is_its_curve_of_gains() -> None:
    """Against one transform of the whole, in float64."""
    rng = np.random.default_rng(3)
    audio = (0.1 * rng.standard_normal((2, 3 * RATE))).astype(np.float32)
    toned = equalised(audio, RATE, drawn_tone(4.0, np.random.default_rng(7)))
    assert toned.dtype == np.float32
    octaves = 62.5 * 2.0 ** np.arange(9)
    gains_db = np.random.default_rng(7).normal(0, 4.0, len(octaves))
    frequencies = np.maximum(np.fft.rfftfreq(audio.shape[1], 1 / RATE), 1)
    curve_db = np.interp(np.log2(frequencies), np.log2(octaves), gains_db)
    wanted = np.fft.irfft(np.fft.rfft(audio.astype(np.float64)) * 10 ** (curve_db / 20))
    error_db = 10 * np.log10(np.square(toned - wanted).sum() / np.square(wanted).sum())
    # What rings past the end is cut here and comes round there; the corners of the curve ring
    # longest. Nobody hears it beside the curve, which is drawn.
    assert error_db < -35


def test_a_tone_without_spread_changes_nothing() -> None:
    audio = np.random.default_rng(4).standard_normal((1, 5001)).astype(np.float32)
    # Rounding of two transforms.
    tone = drawn_tone(0.0, np.random.default_rng(0))
    np.testing.assert_allclose(equalised(audio, RATE, tone), audio, atol=1e-5)
