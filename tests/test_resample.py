"""Resampling, against the signal itself computed in float64 at the new rate."""

from __future__ import annotations

import numpy as np
import pytest

from stemsplit.resample import Resampler, resampled_length

RATES = [(48_000, 44_100), (44_100, 48_000), (22_050, 44_100), (96_000, 44_100), (44_100, 22_050)]


def tones(sample_rate, samples, highest):
    """Two channels of sines of random phase up to a frequency in Hz, float64."""
    rng = np.random.default_rng(3)
    t = np.arange(samples) / sample_rate
    frequencies = rng.uniform(50, highest, (2, 8, 1))
    phases = rng.uniform(0, 2 * np.pi, (2, 8, 1))
    return np.sin(2 * np.pi * frequencies * t + phases).sum(1) / 8


def convert(signal, from_rate, to_rate, block=4096, length=None):
    resampler = Resampler(signal.shape[0], from_rate, to_rate)
    pieces = [
        resampler.process(signal[:, start : start + block])
        for start in range(0, signal.shape[1], block)
    ]
    return np.concatenate([*pieces, resampler.finish(length)], axis=1)


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
def test_samples_are_the_signal_at_their_own_time(from_rate, to_rate):
    highest = 0.3 * min(from_rate, to_rate)
    signal = tones(from_rate, from_rate, highest).astype(np.float32)
    output = convert(signal, from_rate, to_rate)
    expected = tones(to_rate, output.shape[1], highest)
    # Away from the ends, where the filter sees silence. Input and output are rounded to float32,
    # 2**-25 each; twice their sum leaves room for soxr's arithmetic. Delay by a thousandth of a
    # sample would give about 1e-3.
    inner = slice(to_rate // 20, -to_rate // 20)
    np.testing.assert_allclose(output[:, inner], expected[:, inner], atol=2.0**-23)


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
def test_an_impulse_stays_where_it_is(from_rate, to_rate):
    signal = np.zeros((1, from_rate), np.float32)
    signal[0, from_rate // 2] = 1
    assert np.argmax(convert(signal, from_rate, to_rate)) == to_rate // 2


@pytest.mark.parametrize("block", [1, 777, 50_000])
def test_the_split_into_blocks_does_not_matter(block):
    signal = tones(48_000, 20_001, 15_000).astype(np.float32)
    np.testing.assert_array_equal(
        convert(signal, 48_000, 44_100, block), convert(signal, 48_000, 44_100)
    )


@pytest.mark.parametrize(("from_rate", "to_rate"), [*RATES, (8000, 44_100), (44_100, 8000)])
@pytest.mark.parametrize("samples", [1, 2, 3, 100, 4097, 44_101])
def test_lengths(from_rate, to_rate, samples):
    signal = np.ones((1, samples), np.float32)
    there = convert(signal, from_rate, to_rate)
    length = resampled_length(samples, from_rate, to_rate)
    assert there.shape == (1, length)
    assert abs(length - samples * to_rate / from_rate) <= 0.5
    assert convert(there, to_rate, from_rate, length=samples).shape == (1, samples)


def test_there_and_back_is_the_signal():
    signal = tones(48_000, 48_001, 13_000).astype(np.float32)
    back = convert(convert(signal, 48_000, 44_100), 44_100, 48_000, length=48_001)
    inner = slice(2400, -2400)
    np.testing.assert_allclose(back[:, inner], signal[:, inner], atol=2.0**-22)  # two ways


def test_equal_rates_pass_the_block_through():
    resampler = Resampler(2, 44_100, 44_100)
    block = np.ones((2, 5), np.float32)
    assert resampler.process(block) is block
    assert resampler.finish().shape == (2, 0)


def test_a_length_already_passed_is_refused():
    resampler = Resampler(1, 44_100, 44_100)
    resampler.process(np.ones((1, 5), np.float32))
    with pytest.raises(ValueError, match="bad length: got 4, wanted at least 5"):
        resampler.finish(4)
