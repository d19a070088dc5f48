"""How large signals are in spectra of several resolutions, in torch on any device."""

from __future__ import annotations

import torch
from torch import Tensor

_SILENT = 3e-4  # of a full-scale sine: what every bin has at least


class Resolutions:
    """Sums of the magnitudes of signals' spectra, at each of some frame lengths.

    Of an error's complex spectra, so its phase counts: a short frame tells when it sounds, a long
    one at which frequency, and what is loud in a few bins counts less than in its energy.
    Losses of this kind are usual in music separation (as of Gusó et al. 2022, "On loss functions
    and evaluation metrics for music source separation").

    Parameters
    ----------
    sizes:
        Frame lengths in samples; the hop is a quarter of each.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self._sizes = sizes
        self._windows: dict[tuple[int, torch.device], Tensor] = {}

    def magnitudes(self, signals: Tensor) -> Tensor:
        """Sum magnitudes over channels, frames and bins, in units of a full-scale sine's.

        Parameters
        ----------
        signals:
            float32 (..., 2 channels, samples).

        Returns
        -------
        Tensor
            float32 (sizes, ...), differentiable; where a bin is 0 its gradient is. Silence has
            some as well, so that a share of it is none of nothing.
        """
        flat = signals.flatten(0, -2)
        with torch.autocast(signals.device.type, enabled=False):
            sums = [
                (self._spectra(flat, size).abs() * (4 / size) + _SILENT).sum((1, 2))
                for size in self._sizes
            ]
        return torch.stack(sums).view(len(sums), *signals.shape[:-1]).sum(-1)

    def _spectra(self, signals: Tensor, size: int) -> Tensor:
        key = size, signals.device
        if key not in self._windows:
            self._windows[key] = torch.hann_window(size, device=signals.device)
        return torch.stft(
            signals,
            size,
            size // 4,
            window=self._windows[key],
            pad_mode="constant",
            return_complex=True,
        )
