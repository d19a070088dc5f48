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


def test_a_full_scale_sine_is_1() -> None:
    n_fft, bands = 4096, Bands(2049, 384, 204)
    t = np.arange(8 * n_fft)
    sine = np.sin(2 * np.pi * 100 / n_fft * t).astype(np.float32)
    seen = band_features(dsp.stft(np.stack((sine, sine)), n_fft, 1024), bands, n_fft, 0.5)
    assert seen.shape == (4, 33, 384)
    # The middle frame of left, right and mid; side is silent.
    np.testing.assert_allclose(seen[:3, 16, 100], 1, atol=1e-5)
    # Compression by a square root makes the rounding of float32 some 3e-4.
    assert seen[3, 16].max() < 1e-3
