"""What torch measures on a device against what the core and NumPy do on the CPU."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from stemsplit.band_task import BandSettings, BandTask
from stemsplit.bands import Bands
from stemsplit.cards import read_card
from stemsplit.config import StftSettings
from stemsplit.device_spectra import DeviceSpectra
from stemsplit.estimate_error import EstimateError
from stemsplit.material import StoredTrack
from stemsplit.remix import RemixSettings
from stemsplit.teacher import Teacher
from stemsplit.trust import accept
from stemsplit.unet_size import UNetSize
from test_estimate_error import energies_of, example
from test_growth import saved

CPU = torch.device("cpu")
SIZE = UNetSize(widths=(4, 4, 4), squeeze=(4, 4, 4), dilations=(1,))
SETTINGS = BandSettings(batch_size=2, frames=16, size=SIZE, waveform=True, ratio_weight=1.0)


def task_of(
    tracks: list[StoredTrack],
    settings: BandSettings,
    teacher: Teacher | None = None,
    *,
    on_device: bool,
) -> BandTask:
    return BandTask(
        settings,
        tracks,
        [],
        seed=0,
        remix=RemixSettings(),
        teacher=teacher,
        measured_on=CPU if on_device else None,
    )


@pytest.mark.parametrize(
    ("n_fft", "hop_length", "samples"),
    [(128, 32, 15 * 32), (128, 62, 1000), (256, 64, 129), (64, 16, 16 * 40 + 15)],
)
def test_errors_and_their_gradient_are_the_cores(n_fft: int, hop_length: int, samples: int) -> None:
    bands, stft = Bands(n_fft // 2 + 1, 16, 9), StftSettings(44100, n_fft, hop_length)
    masks, mixture, stems = example(n_fft, hop_length, samples)
    outer = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.25, 1.0]])
    found = []
    for spectra in (DeviceSpectra(bands, stft, CPU), EstimateError(bands, stft)):
        own = masks.clone().requires_grad_()
        energies = energies_of(spectra, own, mixture, stems)
        (energies * outer).sum().backward()
        found.append((energies, own.grad, spectra.moves(masks, mixture, stems)))
    (energies, gradient, moves), (core_energies, core_gradient, core_moves) = found
    # Some hundred roundings of float32 in either.
    torch.testing.assert_close(energies, core_energies, rtol=1e-5, atol=0)
    assert gradient is not None
    assert core_gradient is not None
    for one, other in ((gradient, core_gradient), (moves, core_moves)):
        assert float((one - other).abs().max()) < 1e-5 * float(other.abs().max())


@pytest.mark.parametrize("waveform", [True, False])
def test_a_batch_is_measured_alike(stored: list[StoredTrack], waveform: bool) -> None:
    settings = dataclasses.replace(SETTINGS, waveform=waveform)
    wanted = task_of(stored, settings, on_device=False).batch(3)
    task = task_of(stored, settings, on_device=True)
    counts, stems = batch = task.batch(3)
    assert torch.equal(counts, wanted[4])
    got = task._measured(batch)
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        # A band's energy is a sum of squares with an error relative to the loudest bin's: some
        # hundred roundings; the features' square root halves the digits near silence.
        assert float((one - other).abs().max()) < 1e-4 * float(other.abs().max())
    assert stems.dtype == torch.float32


@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.parametrize(
    "compared", [{"waveform": False}, {"waveform": True}, {"resolutions": (512, 2048)}]
)
def test_a_step_learns_the_same(
    stored: list[StoredTrack], tmp_path: Path, compared: dict[str, Any], taught: bool
) -> None:
    settings = dataclasses.replace(SETTINGS, **compared)
    teacher = None
    if taught:
        card_path = saved(SIZE, tmp_path / "teacher.json")
        accept(read_card(card_path))
        teacher = Teacher(card_path, settings)
    losses, gradients = [], []
    for on_device in (False, True):
        task = task_of(stored, settings, teacher, on_device=on_device)
        network = task.first_network().eval()
        loss = task.loss(network, task.batch(0))
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
        weights = [weight.grad for weight in network.parameters() if weight.grad is not None]
        gradients.append(torch.cat([weight.flatten() for weight in weights]))
    # Sums of some ten thousand float32 squares, in another order.
    torch.testing.assert_close(losses[1], losses[0], atol=2e-4, rtol=1e-4)
    difference = torch.linalg.vector_norm(gradients[1] - gradients[0])
    assert float(difference) < 1e-3 * float(torch.linalg.vector_norm(gradients[0]))


def test_what_is_measured_has_no_less_than_float32() -> None:
    """Whatever precision the network trains in."""
    bands, stft = Bands(65, 16, 9), StftSettings(44100, 128, 32)
    masks, mixture, stems = example(128, 32, 640)
    spectra = DeviceSpectra(bands, stft, CPU)
    wanted = energies_of(spectra, masks, mixture, stems)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(energies_of(spectra, masks, mixture, stems), wanted)
        measured = spectra.measured(stems, 0.5)
    for one, other in zip(measured, spectra.measured(stems, 0.5), strict=True):
        assert torch.equal(one, other)
