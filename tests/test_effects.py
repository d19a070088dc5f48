"""Rooms and places between two channels."""

from __future__ import annotations

import numpy as np
import pytest

from stemsplit.effects import panned, reverberate

RATE = 44_100


def test_a_room_keeps_the_direct_sound_and_rings_on() -> None:
    click = np.zeros((2, 2 * RATE), np.float32)
    click[:, 100] = 1
    heard = reverberate(click, RATE, np.random.default_rng(0))
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
    one, same = (reverberate(audio, RATE, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize(("place", "gains"), [(-1, (2**0.5, 0)), (0, (1, 1)), (1, (0, 2**0.5))])
def test_panning_keeps_the_power(place: float, gains: tuple[float, float]) -> None:
    mono = np.linspace(-1, 1, 7, dtype=np.float32)
    # Rounding of float32.
    np.testing.assert_allclose(panned(mono, place), np.outer(gains, mono), atol=1e-6)
