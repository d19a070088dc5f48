"""The error of estimates in samples, as a function of masks that torch can differentiate."""

from __future__ import annotations

from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from stemsplit import dsp
from stemsplit.bands import Bands
from stemsplit.config import StftSettings

FloatArray = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complex64]


class EstimateError:
    """How far the stems that masks cut out of a mixture are from the true ones.

    What masks get wrong in a bin partly cancels where frames overlap, and masks in bands are spread
    over bins: in samples both count as they do for who listens. The inverse transform is linear, so
    a gradient for the samples is turned into one for the masks by a transform (see `gradient`).

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

    def moves(self, masks: Tensor, mixture: Tensor, stems: Tensor) -> Tensor:
        """Give estimates less stems.

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
            float32 (batch, stems, 2, samples), on the masks' device; the work is the CPU's. Only
            the masks have a gradient.
        """
        return moves_of(self, masks, mixture, stems)

    def moves_made(self, masks: Tensor, mixture: Tensor, stems: Tensor) -> Tensor:
        """Compute `moves`."""
        moves = [
            self.errors(*(part.detach().cpu().numpy() for part in one))
            for one in zip(masks, mixture, stems, strict=True)
        ]
        return torch.from_numpy(np.stack(moves)).to(masks.device)

    def moves_turned(self, outer: Tensor, mixture: Tensor) -> Tensor:
        """Turn a gradient for `moves` into one for the masks, shaped as these."""
        gradients = [
            self.gradient(*(part.detach().cpu().numpy() for part in one))
            for one in zip(outer, mixture, strict=True)
        ]
        return torch.from_numpy(np.stack(gradients)).to(outer.device)

    def errors(self, masks: FloatArray, mixture: Spectrum, stems: FloatArray) -> FloatArray:
        """Give estimates less stems, (stems, 2, samples), of one example of `moves`."""
        stft = self._stft
        length = stems.shape[2]
        errors = dsp.apply_masks_istft(
            mixture, masks, stft.n_fft, stft.hop_length, length=length, spread=self._spread
        )
        errors -= stems
        return errors

    def gradient(self, outer: FloatArray, mixture: Spectrum) -> FloatArray:
        """Turn a gradient for the samples of estimates into one for their masks.

        A sample of an estimate is the sum of its frames' inverse transforms times the window,
        divided by the sum of the squared windows there: so the gradient for a frame's spectrum is
        the transform of that for the samples over that sum, and for a bin's mask that times the
        mixture's spectrum, turned back.

        Parameters
        ----------
        outer:
            float32 (stems, 2, samples).
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
        samples = outer.shape[2]
        scaled = outer / squared_windows(stft, samples, frames)
        padded: FloatArray = np.pad(scaled.reshape(-1, samples), ((0, 0), (pad, pad)))
        spectra = dsp.stft(padded, stft.n_fft, stft.hop_length)[:, ahead : ahead + frames]
        products = spectra.reshape(len(outer), 2, frames, -1).view(np.float32)
        products *= mixture.view(np.float32)
        return self._bands.from_bins((products[..., ::2] + products[..., 1::2]) * self._per_bin)


class Moves(Protocol):
    """What makes estimates less stems, and turns their gradient, on some device."""

    def moves_made(self, masks: Tensor, mixture: Tensor, stems: Tensor) -> Tensor:
        """Compute `EstimateError.moves`."""

    def moves_turned(self, outer: Tensor, mixture: Tensor) -> Tensor:
        """Turn a gradient for them into one for the masks."""


def moves_of(maker: Moves, masks: Tensor, mixture: Tensor, stems: Tensor) -> Tensor:
    """Give what `maker` makes, with a gradient for the masks."""
    return cast(Tensor, _Moves.apply(masks, mixture, stems, maker))  # type: ignore[no-untyped-call]


class _Moves(torch.autograd.Function):
    """`EstimateError.moves` for autograd."""

    @staticmethod
    def forward(ctx: Any, masks: Tensor, mixture: Tensor, stems: Tensor, maker: Moves) -> Tensor:
        """Keep what the gradient depends on: no mask, as the inverse transform is linear."""
        ctx.save_for_backward(mixture)
        ctx.maker = maker
        return maker.moves_made(masks, mixture, stems)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None, None]:
        """Turn the gradient for the samples."""
        (mixture,) = ctx.saved_tensors
        return ctx.maker.moves_turned(outer[0], mixture), None, None, None


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
