"""What a step learns from, measured by torch on the step's own device: for a training on CUDA.

The same numbers as `stemsplit.dsp`, `stemsplit.bands` and `stemsplit.estimate_error` give on the
CPU, which cannot feed a GPU; no more than stems travel to the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stemsplit.bands import Bands, power_scale
from stemsplit.config import StftSettings
from stemsplit.estimate_error import bin_weights, moves_of, squared_windows


class DeviceSpectra:
    """Spectra, their bands and the error of estimates, of whole batches.

    Parameters
    ----------
    bands:
        Of the spectrogram.
    stft:
        Its geometry.
    device:
        Where the batches are.
    """

    def __init__(self, bands: Bands, stft: StftSettings, device: torch.device) -> None:
        self._stft, self._device = stft, device
        self._window = torch.hann_window(stft.n_fft, device=device)
        every_band = np.eye(bands.count, dtype=np.float32)
        self._to_bins = torch.from_numpy(bands.to_bins(every_band)).to(device)
        owners = np.repeat(np.arange(bands.count), np.diff(bands.edges))
        self._to_bands = torch.from_numpy(every_band[owners]).to(device)
        self._widths = torch.from_numpy(bands.widths).to(device)
        self._per_bin = torch.from_numpy(bin_weights(stft)).to(device)
        self._squares: dict[tuple[int, int], Tensor] = {}

    @torch.no_grad()
    def measured(self, stems: Tensor, magnitude_power: float) -> tuple[Tensor, ...]:
        """Measure stems by band.

        Parameters
        ----------
        stems:
            float32 (batch, stems, 2, samples).
        magnitude_power:
            Exponent the features are compressed with.

        Returns
        -------
        tuple
            The features, the stems' energies, their products with the mixture, the mixture's
            energies and its spectra, shaped as `stemsplit.band_task.BandTask` has them.
        """
        scale = power_scale(self._stft.n_fft)
        with _exactly(self._device):
            spectra = self._spectra(stems)
            mixture = spectra.sum(1)
            energy = self._sums(spectra, spectra) * scale
            product = self._sums(spectra, mixture[:, None]) * scale
            left, right = mixture.unbind(1)
            seen = torch.stack((left, right, (left + right) / 2, (left - right) / 2), 2)
            powers = self._sums(seen, seen) * scale
            features = (powers / self._widths) ** (magnitude_power / 2)
            total = powers[:, :, :2].transpose(1, 2).contiguous()
        return features, energy, product, total, mixture

    def moves(self, masks: Tensor, mixture: Tensor, stems: Tensor) -> Tensor:
        """Give estimates less stems, (batch, stems, 2, samples): see `EstimateError.moves`."""
        return moves_of(self, masks, mixture, stems)

    @torch.no_grad()
    def moves_made(self, masks: Tensor, mixture: Tensor, stems: Tensor) -> Tensor:
        """Compute `moves`."""
        stft, shape = self._stft, stems.shape
        with _exactly(self._device):
            spectra = (masks.float() @ self._to_bins) * mixture[:, None]
            estimates = torch.istft(
                spectra.flatten(0, 2).transpose(1, 2),
                stft.n_fft,
                stft.hop_length,
                window=self._window,
                length=shape[-1],
            )
        return estimates.view(shape) - stems

    @torch.no_grad()
    def moves_turned(self, outer: Tensor, mixture: Tensor) -> Tensor:
        """Turn a gradient for `moves` into one for the masks.

        Parameters
        ----------
        outer:
            float32 (batch, stems, 2, samples).
        mixture:
            complex64 (batch, 2, frames, bins).

        Returns
        -------
        Tensor
            float32 (batch, stems, 2, frames, bands); why is told at `EstimateError.gradient`.
        """
        half = self._stft.n_fft // 2
        squares = self._squared_windows(outer.shape[-1], mixture.shape[2])
        with _exactly(self._device):
            padded = functional.pad(outer / squares, (half, half))
            spectra = self._spectra(padded, center=False)
            products = (spectra * mixture[:, None].conj()).real
            return (products * self._per_bin) @ self._to_bins.T

    def _spectra(self, signals: Tensor, *, center: bool = True) -> Tensor:
        """Transform (..., samples) into complex64 (..., frames, bins)."""
        stft = self._stft
        spectra = torch.stft(
            signals.flatten(0, -2),
            stft.n_fft,
            stft.hop_length,
            window=self._window,
            center=center,
            return_complex=True,
        )
        return spectra.transpose(1, 2).reshape(*signals.shape[:-1], -1, stft.bins)

    def _sums(self, one: Tensor, other: Tensor) -> Tensor:
        """Sum ``Re(one * conj(other))`` over each band."""
        return (one.real * other.real + one.imag * other.imag) @ self._to_bands

    def _squared_windows(self, samples: int, frames: int) -> Tensor:
        key = samples, frames
        if key not in self._squares:
            squares = torch.from_numpy(squared_windows(self._stft, samples, frames))
            self._squares[key] = squares.to(self._device)
        return self._squares[key]


@contextmanager
def _exactly(device: torch.device) -> Iterator[None]:
    """Compute in float32, whatever the network's precision: no bfloat16, no TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
