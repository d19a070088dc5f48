"""Bands of a spectrogram, and what the compact network sees of them."""

from __future__ import annotations

import numpy as np
import pytest

from stemsplit import dsp
from stemsplit.bands import Bands, band_features

LAYOUTS = [(2049, 384, 204), (1025, 64, 16), (33, 33, 33), (33, 33, 4), (513, 2, 1)]


def random_spectrum(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((2, *shape))
    return (parts[0] + 1j * parts[1]).astype(np.complex64)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bands_share_out_all_bins(layout: tuple[int, int, int]) -> None:
    bins, count, single = layout
    bands = Bands(*layout)
    assert bands.edges[0] == 0
    assert bands.edges[-1] == bins
    widths = np.diff(bands.edges)
    assert len(widths) == count
    assert widths.min() >= 1
    assert (widths[:single] == 1).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sums_are_those_of_float64(layout: tuple[int, int, int]) -> None:
    bands = Bands(*layout)
    one, other = random_spectrum(2, 5, layout[0])
    products = (one.astype(complex) * other.astype(complex).conj()).real
    wanted = np.add.reduceat(products, bands.edges[:-1], axis=-1)
    # Sums of up to some hundred float32 products.
    np.testing.assert_allclose(bands.sums(one, other), wanted, atol=2e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_spread_linearly_between_centres(layout: tuple[int, int, int]) -> None:
    bands = Bands(*layout)
    values = np.random.default_rng(0).random((3, 2, layout[1]), np.float32)
    centres = (bands.edges[:-1] + bands.edges[1:] - 1) / 2
    wanted = [np.interp(np.arange(layout[0]), centres, row) for row in values.reshape(6, -1)]
    got = bands.to_bins(values)
    np.testing.assert_allclose(got.reshape(6, -1), wanted, atol=1e-6)  # rounding of float32
    shares = values / values.sum(axis=0)
    np.testing.assert_allclose(bands.to_bins(shares).sum(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS[1:])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_masks_in_bands_are_those_spread_over_bins(
    layout: tuple[int, int, int], channels: int
) -> None:
    bands, n_fft = Bands(*layout), 2 * (layout[0] - 1)
    hop = n_fft // 4
    spec = random_spectrum(channels, 9, layout[0])
    values = np.random.default_rng(1).random((3, channels, 9, layout[1]), np.float32)
    how = {"n_fft": n_fft, "hop_length": hop, "length": 8 * hop}
    wanted = dsp.apply_masks_istft(spec, bands.to_bins(values), **how)
    got = dsp.apply_masks_istft(spec, values, spread=bands.spread(layout[0]), **how)
    np.testing.assert_allclose(got, wanted, atol=1e-6 * np.abs(wanted).max())  # float32's rounding
    stream = dsp.IstftStream(
        channels, n_fft, hop, stems=3, spread=bands.spread(layout[0]), threads=2
    )
    parts = [stream.process(spec[:, a:b], values[:, :, a:b]) for a, b in ((0, 1), (1, 4), (4, 9))]
    np.testing.assert_array_equal(np.concatenate((*parts, stream.finish(8 * hop)), axis=2), got)


def test_bins_above_the_bands_take_one_more_value() -> None:
    bands = Bands(33, 9, 4)
    spec = random_spectrum(1, 5, 129)
    values = np.random.default_rng(1).random((2, 1, 5, 10), np.float32)
    above = np.broadcast_to(values[..., 9:], (2, 1, 5, 96))
    masks = np.concatenate((bands.to_bins(values[..., :9]), above), axis=3)
    how = {"n_fft": 256, "hop_length": 64, "length": 256}
    wanted = dsp.apply_masks_istft(spec, masks, **how)
    got = dsp.apply_masks_istft(spec, values, spread=bands.spread(129), **how)
    np.testing.assert_allclose(got, wanted, atol=1e-6 * np.abs(wanted).max())


def test_a_full_scale_sine_is_1() -> None:
    n_fft, bands = 4096, Bands(2049, 384, 204)
    t = np.arange(8 * n_fft)
    sine = np.sin(2 * np.pi * 100 / n_fft * t).astype(np.float32)
    seen = band_features(dsp.stft(np.stack((sine, sine)), n_fft, 1024), bands, n_fft, 0.5)
    assert seen.shape == (33, 4, 384)
    # The middle frame of left, right and mid; side is silent.
    np.testing.assert_allclose(seen[16, :3, 100], 1, atol=1e-5)
    # Compression by a square root makes the rounding of float32 some 3e-4.
    assert seen[16, 3].max() < 1e-3
