"""The error of estimates in samples, as a function of masks that torch can differentiate."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stemsplit import dsp
from stemsplit.bands import Bands
from stemsplit.config import StftSettings

FloatArray = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complex64]


class EstimateError:
    """How far the stems that masks cut out of a mixture are from the true ones.

    What masks get wrong in a bin partly cancels where frames overlap, and masks in bands are spread
    over bins: in samples both count as they do for who listens. The inverse transform is linear, so
    the error's gradient is the transform of the error (see `gradient`).

    Parameters
    ----------
    bands:
        The masks'.
    stft:
        The spectrogram's geometry.
    """

    def __init__(self, bands: Bands, stft: StftSettings) -> None:
        self._bands, self._stft = bands, stft
        self._spread = bands.spread(stft.bins)
        self._per_bin = bin_weights(stft)

    def energies(self, masks: Tensor, mixture: Tensor, stems: Tensor) -> Tensor:
        """Sum the squared errors of each estimate.

        Parameters
        ----------
        masks:
            float32 (batch, stems, 2 channels, frames, bands).
        mixture:
            complex64 (batch, 2 channels, frames, bins), its spectra.
        stems:
            float32 (batch, stems, 2 channels, samples), the true ones.

        Returns
        -------
        Tensor
            float32 (batch, stems); only the masks have a gradient.
        """
        return cast(Tensor, _Energies.apply(masks, mixture, stems, self))  # type: ignore[no-untyped-call]

    def moves(self, masks: Tensor, mixture: Tensor, stems: Tensor) -> Tensor:
        """Give estimates less stems, (batch, stems, 2, samples), as `energies` has them."""
        moves = [
            self.errors(*(part.detach().cpu().numpy() for part in one))
            for one in zip(masks, mixture, stems, strict=True)
        ]
        return torch.from_numpy(np.stack(moves)).to(stems.device)

    def errors(self, masks: FloatArray, mixture: Spectrum, stems: FloatArray) -> FloatArray:
        """Give estimates less stems, (stems, 2, samples), of one example of `energies`."""
        stft = self._stft
        length = stems.shape[2]
        errors = dsp.apply_masks_istft(
            mixture, masks, stft.n_fft, stft.hop_length, length=length, spread=self._spread
        )
        errors -= stems
        return errors

    def gradient(self, errors: FloatArray, mixture: Spectrum) -> FloatArray:
        """Give the gradient of each stem's sum of squared errors for its masks.

        A sample of an estimate is the sum of its frames' inverse transforms times the window,
        divided by the sum of the squared windows there: so the gradient for a frame's spectrum is
        the transform of twice the error over that sum, and for a bin's mask that times the
        mixture's spectrum, turned back.

        Parameters
        ----------
        errors:
            float32 (stems, 2, samples), of `errors`.
        mixture:
            complex64 (2, frames, bins).

        Returns
        -------
        numpy.ndarray
            float32 (stems, 2, frames, bands).
        """
        stft = self._stft
        frames = mixture.shape[1]
        # Zeros beyond both ends, where `dsp.stft` would reflect.
        ahead = -(-stft.n_fft // (2 * stft.hop_length))
        pad = ahead * stft.hop_length
        samples = errors.shape[2]
        scaled = errors * (np.float32(2) / squared_windows(stft, samples, frames))
        padded: FloatArray = np.pad(scaled.reshape(-1, samples), ((0, 0), (pad, pad)))
        spectra = dsp.stft(padded, stft.n_fft, stft.hop_length)[:, ahead : ahead + frames]
        products = spectra.reshape(len(errors), 2, frames, -1).view(np.float32)
        products *= mixture.view(np.float32)
        return self._bands.from_bins((products[..., ::2] + products[..., 1::2]) * self._per_bin)


class GradientsKept(torch.autograd.Function):
    """Energies (batch, stems), whose gradients for the masks `forward` has saved."""

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None, None]:
        """Scale each stem's gradient by the outer one."""
        (gradients,) = ctx.saved_tensors
        return outer[0][:, :, None, None, None] * gradients, None, None, None


class _Energies(GradientsKept):
    """`EstimateError.energies`; works on the CPU, whatever the masks' device."""

    @staticmethod
    def forward(
        ctx: Any, masks: Tensor, mixture: Tensor, stems: Tensor, error: EstimateError
    ) -> Tensor:
        """Compute energies, and the gradients for later, as the errors are at hand."""
        energies, gradients = [], []
        for one in zip(masks, mixture, stems, strict=True):
            mask, spectrum, wanted = (part.detach().cpu().numpy() for part in one)
            errors = error.errors(mask, spectrum, wanted)
            energies.append(np.square(errors).sum(axis=(1, 2)))
            if ctx.needs_input_grad[0]:
                gradients.append(error.gradient(errors, spectrum))
        if gradients:
            ctx.save_for_backward(torch.from_numpy(np.stack(gradients)).to(masks.device))
        return torch.from_numpy(np.stack(energies)).to(masks.device)


def bin_weights(stft: StftSettings) -> FloatArray:
    """Give what a bin's part of an inverse transform counts: float32 (bins,)."""
    weights = np.full(stft.bins, 2 / stft.n_fft, np.float32)
    weights[[0, -1]] /= 2  # which have no mirror image
    return weights


def squared_windows(stft: StftSettings, samples: int, frames: int) -> FloatArray:
    """Sum the squared windows of frames that reach each sample: float32 (samples,)."""
    squared = dsp.hann_window(stft.n_fft) ** 2
    total = np.zeros(stft.n_fft + max(samples, frames * stft.hop_length), np.float32)
    for start in range(0, frames * stft.hop_length, stft.hop_length):
        total[start : start + stft.n_fft] += squared
    return total[stft.n_fft // 2 : stft.n_fft // 2 + samples]
