"""Bands of a spectrogram: single bins where they matter, wider and wider ones above."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stemsplit import dsp

FloatArray = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complex64]


class Bands:
    """A partition of a spectrogram's bins into bands.

    The lowest bands are single bins; above them widths grow geometrically up to the last bin.

    Parameters
    ----------
    bins:
        Of the spectrogram.
    count:
        Bands.
    single:
        So many of the lowest bands are single bins.
    """

    def __init__(self, bins: int, count: int, single: int) -> None:
        assert 0 < single < count <= bins or single == count == bins
        ideal = np.geomspace(single, bins, count - single + 1)
        edges = np.concatenate((np.arange(single), np.rint(ideal).astype(np.intp)))
        # Rounding must leave no band empty, at either end.
        edges = np.maximum.accumulate(edges - np.arange(count + 1)) + np.arange(count + 1)
        self.edges = np.minimum(edges, bins - count + np.arange(count + 1))
        self.bins, self.count, self.single = bins, count, single
        self._starts = self.edges[single:-1]
        self.widths = np.diff(self.edges).astype(np.float32)
        self._centres = (self.edges[:-1] + self.edges[1:] - 1) / 2
        self._weights = self._interpolation()

    def _interpolation(self) -> FloatArray:
        """Weights of the wider bands, and of the last single one, in the bins above it."""
        first = self.single - 1
        above = np.arange(self.single, self.bins)
        rows = np.eye(self.count - first)
        weights = [np.interp(above, self._centres[first:], row) for row in rows]
        return np.array(weights, np.float32).reshape(len(rows), len(above))

    def sums(self, one: Spectrum, other: Spectrum) -> FloatArray:
        """Sum ``Re(one * conj(other))`` over each band.

        Parameters
        ----------
        one, other:
            complex64 (..., bins), contiguous, of one shape.

        Returns
        -------
        numpy.ndarray
            float32 (..., bands): powers where both are the same.
        """
        products = one.view(np.float32) * other.view(np.float32)
        low = products[..., : 2 * self.single]
        high = np.add.reduceat(products, 2 * self._starts, axis=-1)
        joined: FloatArray = np.concatenate((low[..., ::2] + low[..., 1::2], high), axis=-1)
        return joined

    def spread(self, bins: int) -> dsp.Spread:
        """Give how values of bands become gains of a spectrogram's bins, as `to_bins` makes them.

        Parameters
        ----------
        bins:
            At least as many as the bands have. Those above take one more value, the last of a row.

        Returns
        -------
        stemsplit.dsp.Spread
            For rows of as many values as there are bands, or one more.
        """
        at = np.arange(self.bins)
        below = np.clip(np.searchsorted(self._centres, at, "right") - 1, 0, self.count - 2)
        low, high = self._centres[below], self._centres[below + 1]
        weights = np.clip((at - low) / (high - low), 0, 1)
        above = bins - self.bins
        return dsp.Spread(
            np.concatenate((below, np.full(above, self.count - 1))),
            np.concatenate((weights, np.ones(above))).astype(np.float32),
            self.count + (above > 0),
        )

    def to_bins(self, values: FloatArray) -> FloatArray:
        """Spread values of bands over bins, linearly between the bands' centres.

        Parameters
        ----------
        values:
            float32 (..., bands).

        Returns
        -------
        numpy.ndarray
            float32 (..., bins). Values that sum to 1 over another axis still do.
        """
        spread: FloatArray = np.empty((*values.shape[:-1], self.bins), np.float32)
        spread[..., : self.single] = values[..., : self.single]
        wide = values[..., self.single - 1 :]
        # A product with a nearly empty matrix is several times as fast as gathering.
        spread[..., self.single :] = wide @ self._weights
        return spread

    def from_bins(self, gradients: FloatArray) -> FloatArray:
        """Give the gradient for values of bands of one for what `to_bins` makes of them.

        Parameters
        ----------
        gradients:
            float32 (..., bins).

        Returns
        -------
        numpy.ndarray
            float32 (..., bands).
        """
        gathered: FloatArray = np.zeros((*gradients.shape[:-1], self.count), np.float32)
        gathered[..., : self.single] = gradients[..., : self.single]
        gathered[..., self.single - 1 :] += gradients[..., self.single :] @ self._weights.T
        return gathered


def power_scale(n_fft: int) -> float:
    """Give what makes the power of a sine of full scale 1 in a spectrogram.

    The periodic Hann window's gain is ``n_fft / 4`` a side.
    """
    return 16 / n_fft**2


def band_features(spec: Spectrum, bands: Bands, n_fft: int, power: float) -> FloatArray:
    """Give what the network sees of a stereo spectrogram: left, right, mid and side, in bands.

    A band's value is its root mean square magnitude, scaled as `power_scale` has it, then
    compressed.

    Parameters
    ----------
    spec:
        complex64 (2, frames, bins).
    bands:
        Of the spectrogram.
    n_fft:
        Samples per frame.
    power:
        Exponent of the compression.

    Returns
    -------
    numpy.ndarray
        float32 (frames, 4, bands).
    """
    powers = dsp.band_powers(spec, bands.edges, threads=1)  # little beside a network's work
    powers *= power_scale(n_fft) / bands.widths
    features: FloatArray = np.power(powers, np.float32(power / 2), out=powers)
    return features
