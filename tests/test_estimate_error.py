"""The error in samples and its gradient, against torch's inverse in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stemsplit import dsp
from stemsplit.bands import Bands
from stemsplit.config import StftSettings
from stemsplit.estimate_error import EstimateError, Moves, moves_of

STEMS = 3


def example(n_fft: int, hop_length: int, samples: int) -> tuple[torch.Tensor, ...]:
    """Give masks, the mixture's spectra and stems of two random examples."""
    rng = np.random.default_rng(0)
    stems = 0.1 * rng.standard_normal((2, STEMS, 2, samples)).astype(np.float32)
    mixture = np.stack([dsp.stft(one.sum(axis=0), n_fft, hop_length) for one in stems])
    masks = rng.random((2, STEMS, 2, mixture.shape[2], 16), np.float32)
    return tuple(torch.from_numpy(part) for part in (masks, mixture, stems))


def energies_of(error: Moves, *given: torch.Tensor) -> torch.Tensor:
    """Sum the squares of estimates less stems: (batch, stems)."""
    return moves_of(error, *given).square().sum((2, 3))


@pytest.mark.parametrize(
    ("n_fft", "hop_length", "samples"),
    [(128, 32, 15 * 32), (128, 62, 1000), (256, 64, 129), (64, 16, 16 * 40 + 15)],
)
def test_energies_and_gradients_are_those_of_torch(
    n_fft: int, hop_length: int, samples: int
) -> None:
    bands = Bands(n_fft // 2 + 1, 16, 9)
    masks, mixture, stems = example(n_fft, hop_length, samples)
    outer = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.25, 1.0]])

    ours = masks.clone().requires_grad_()
    error = EstimateError(bands, StftSettings(44100, n_fft, hop_length))
    energies = energies_of(error, ours, mixture, stems)
    (energies * outer).sum().backward()

    theirs = masks.double().requires_grad_()
    matrix = torch.from_numpy(bands.to_bins(np.eye(16, dtype=np.float32))).double()
    spectra = (theirs @ matrix) * mixture[:, None].to(torch.complex128)
    estimates = torch.istft(
        spectra.transpose(-1, -2).flatten(0, 2), n_fft, hop_length,
        window=torch.hann_window(n_fft, dtype=torch.float64), length=samples,
    ).reshape(2, STEMS, 2, samples)  # fmt: skip
    wanted = (estimates - stems.double()).square().sum((2, 3))
    (wanted * outer).sum().backward()

    # Some hundred roundings of float32 in either.
    assert torch.allclose(energies.double(), wanted, rtol=1e-5, atol=0)
    assert ours.grad is not None
    assert theirs.grad is not None
    largest = float(theirs.grad.abs().max())
    assert float((ours.grad - theirs.grad).abs().max()) < 1e-5 * largest


def test_nothing_is_wrong_with_the_mixture_itself() -> None:
    masks, mixture, stems = example(128, 32, 640)
    error = EstimateError(Bands(65, 16, 9), StftSettings(44100, 128, 32))
    whole = stems.sum(dim=1, keepdim=True)
    ones = torch.ones_like(masks[:, :1])
    # Of an energy: the square of some hundred roundings of float32.
    assert float(energies_of(error, ones, mixture, whole).max()) < 1e-9 * float(
        whole.square().sum()
    )
    assert float(energies_of(error, 0 * ones, mixture, whole)[0, 0]) == pytest.approx(
        float(whole[0].square().sum()), rel=1e-5
    )
